# Interactive shells that are no login shells.
[ -z "$PS1" ] && return
shopt -s checkwinsize
PS1='\w \$ '
