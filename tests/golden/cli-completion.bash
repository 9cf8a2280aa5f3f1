# bash completion of belljar; made by `belljar completion bash`
_belljar()
{
    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]}
    local line= skip= word= flags= names= files=
    for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
        [ -z "$skip" ] || { skip=; continue; }
        case $word in
        --wait | --config | --code | -c | --language | -l | --sandbox | -s | --template | --env | -e | --timeout | -t | --output | -o | --url | --sandbox-url | --key | --metadata | -m | --state | -s | --user | -u | --workdir | -w | --address | --level | --search | --last | -n | --count | -n | --name | -n | --file | -f | --build-arg | -a | --start | --ready | --cpus | --memory) skip=yes ;;
        -*) ;;
        *) line+="$word " ;;
        esac
    done
    case $prev in
    --config | --output | -o | --file | -f)
        mapfile -t COMPREPLY < <(compgen -f -- "$cur")
        return
        ;;
    esac
    [ -z "$skip" ] || return
    case $line in
    "") names="up down serve doctor run completion sandbox sb template tpl keys " flags="--help --version --man" ;;
    "sandbox " | "sb ") names="create list info exec shell cp port-forward logs metrics pause resume snapshot fork kill " flags="--help" ;;
    "template " | "tpl ") names="build list info tag untag delete export import " flags="--help" ;;
    "keys ") names="create list revoke " flags="--help" ;;
    "up "*)
        flags="--wait --json --config --help"
        ;;
    "down "*)
        flags="--keep-sandboxes --json --config --help"
        ;;
    "serve "*)
        flags="--print-config --config --help"
        ;;
    "doctor "*)
        flags="--json --config --help"
        ;;
    "run "*)
        flags="--code --language --sandbox --template --env --timeout --output --keep --json --url --sandbox-url --key --help"
        files=yes
        ;;
    "completion "*)
        flags="--help"
        names="bash zsh fish"
        ;;
    "sandbox create "* | "sb create "*)
        flags="--timeout --env --metadata --offline --pauses --json --url --sandbox-url --key --help"
        [[ $cur == -* ]] || names=$(belljar template list 2>/dev/null | cut -f1 | tr -cd "A-Za-z0-9._:/\n-")
        ;;
    "sandbox list "* | "sb list "*)
        flags="--state --json --url --sandbox-url --key --help"
        ;;
    "sandbox info "* | "sb info "*)
        flags="--json --url --sandbox-url --key --help"
        [[ $cur == -* ]] || names=$(belljar sandbox list 2>/dev/null | cut -f1 | tr -cd "A-Za-z0-9._:/\n-")
        ;;
    "sandbox exec "* | "sb exec "*)
        flags="--user --workdir --env --timeout --json --url --sandbox-url --key --help"
        [[ $cur == -* ]] || names=$(belljar sandbox list 2>/dev/null | cut -f1 | tr -cd "A-Za-z0-9._:/\n-")
        ;;
    "sandbox shell "* | "sb shell "*)
        flags="--user --workdir --env --url --sandbox-url --key --help"
        [[ $cur == -* ]] || names=$(belljar sandbox list 2>/dev/null | cut -f1 | tr -cd "A-Za-z0-9._:/\n-")
        ;;
    "sandbox cp "* | "sb cp "*)
        flags="--quiet --json --url --sandbox-url --key --help"
        files=yes
        ;;
    "sandbox port-forward "* | "sb port-forward "*)
        flags="--address --json --url --sandbox-url --key --help"
        [[ $cur == -* ]] || names=$(belljar sandbox list 2>/dev/null | cut -f1 | tr -cd "A-Za-z0-9._:/\n-")
        ;;
    "sandbox logs "* | "sb logs "*)
        flags="--follow --level --search --json --url --sandbox-url --key --help"
        [[ $cur == -* ]] || names=$(belljar sandbox list 2>/dev/null | cut -f1 | tr -cd "A-Za-z0-9._:/\n-")
        ;;
    "sandbox metrics "* | "sb metrics "*)
        flags="--last --json --url --sandbox-url --key --help"
        [[ $cur == -* ]] || names=$(belljar sandbox list 2>/dev/null | cut -f1 | tr -cd "A-Za-z0-9._:/\n-")
        ;;
    "sandbox pause "* | "sb pause "*)
        flags="--without-memory --url --sandbox-url --key --help"
        [[ $cur == -* ]] || names=$(belljar sandbox list 2>/dev/null | cut -f1 | tr -cd "A-Za-z0-9._:/\n-")
        ;;
    "sandbox resume "* | "sb resume "*)
        flags="--timeout --json --url --sandbox-url --key --help"
        [[ $cur == -* ]] || names=$(belljar sandbox list 2>/dev/null | cut -f1 | tr -cd "A-Za-z0-9._:/\n-")
        ;;
    "sandbox snapshot "* | "sb snapshot "*)
        flags="--json --url --sandbox-url --key --help"
        [[ $cur == -* ]] || names=$(belljar sandbox list 2>/dev/null | cut -f1 | tr -cd "A-Za-z0-9._:/\n-")
        ;;
    "sandbox fork "* | "sb fork "*)
        flags="--count --timeout --json --url --sandbox-url --key --help"
        [[ $cur == -* ]] || names=$(belljar sandbox list 2>/dev/null | cut -f1 | tr -cd "A-Za-z0-9._:/\n-")
        ;;
    "sandbox kill "* | "sb kill "*)
        flags="--url --sandbox-url --key --help"
        [[ $cur == -* ]] || names=$(belljar sandbox list 2>/dev/null | cut -f1 | tr -cd "A-Za-z0-9._:/\n-")
        ;;
    "template build "* | "tpl build "*)
        flags="--name --file --build-arg --start --ready --cpus --memory --no-cache --verbose --json --url --sandbox-url --key --help"
        files=yes
        ;;
    "template list "* | "tpl list "*)
        flags="--json --url --sandbox-url --key --help"
        ;;
    "template info "* | "tpl info "*)
        flags="--json --url --sandbox-url --key --help"
        [[ $cur == -* ]] || names=$(belljar template list 2>/dev/null | cut -f1 | tr -cd "A-Za-z0-9._:/\n-")
        ;;
    "template tag "* | "tpl tag "*)
        flags="--json --url --sandbox-url --key --help"
        [[ $cur == -* ]] || names=$(belljar template list 2>/dev/null | cut -f1 | tr -cd "A-Za-z0-9._:/\n-")
        ;;
    "template untag "* | "tpl untag "*)
        flags="--url --sandbox-url --key --help"
        [[ $cur == -* ]] || names=$(belljar template list 2>/dev/null | cut -f1 | tr -cd "A-Za-z0-9._:/\n-")
        ;;
    "template delete "* | "tpl delete "*)
        flags="--url --sandbox-url --key --help"
        [[ $cur == -* ]] || names=$(belljar template list 2>/dev/null | cut -f1 | tr -cd "A-Za-z0-9._:/\n-")
        ;;
    "template export "* | "tpl export "*)
        flags="--url --sandbox-url --key --help"
        [[ $cur == -* ]] || names=$(belljar template list 2>/dev/null | cut -f1 | tr -cd "A-Za-z0-9._:/\n-")
        ;;
    "template import "* | "tpl import "*)
        flags="--json --url --sandbox-url --key --help"
        files=yes
        ;;
    "keys create "*)
        flags="--json --url --sandbox-url --key --help"
        ;;
    "keys list "*)
        flags="--json --url --sandbox-url --key --help"
        ;;
    "keys revoke "*)
        flags="--url --sandbox-url --key --help"
        ;;
    esac
    [[ $cur == -* ]] && names=$flags files=
    mapfile -t COMPREPLY < <(compgen -W "$names" -- "$cur")
    [ -z "$files" ] || mapfile -t -O ${#COMPREPLY[@]} COMPREPLY < <(compgen -f -- "$cur")
}
complete -o filenames -F _belljar belljar
