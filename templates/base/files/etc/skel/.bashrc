# Read by interactive shells, and by login shells through /etc/profile.
case $- in
*i*) ;;
*) return ;;
esac
HISTCONTROL=ignoreboth
PS1='\w \$ '
alias ls='ls --color=auto'
