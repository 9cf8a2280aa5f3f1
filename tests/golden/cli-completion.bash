# bash completion of belljar; made by `belljar completion bash`
_belljar()
{
    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]}
    local line= skip= word options= words= files=
    for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
        [ -z "$skip" ] || { skip=; continue; }
        case $word in
        --wait | --config | --code | -c | --language | -l | --sandbox | -s | --template | --env | -e | --timeout | -t | --output | -o | --url | --sandbox-url | --key | --metadata | -m | --state | -s | --user | -u | --workdir | -w | --level | --search | --last | -n | --count | -n | --name | -n | --file | -f | --build-arg | -a | --start | --ready | --cpus | --memory) skip=yes ;;
        -*) ;;
        *) line+="$word " ;;
        esac
    done
    COMPREPLY=()
    case $prev in
    --config | --output | -o | --file | -f)
        mapfile -t COMPREPLY < <(compgen -f -- "$cur")
        return
        ;;
    esac
    [ -z "$skip" ] || return
    case $line in
    "") words="up down serve doctor run completion sandbox sb template tpl keys " options="--help --version --man" ;;
    "sandbox " | "sb ") words="create list info exec shell cp logs metrics pause resume snapshot fork kill " options="--help" ;;
    "template " | "tpl ") words="build list info tag untag delete " options="--help" ;;
    "keys ") words="create list revoke " options="--help" ;;
    "up "*)
        options="--wait --json --config --help"
        ;;
    "down "*)
        options="--keep-sandboxes --config --help"
        ;;
    "serve "*)
        options="--print-config --config --help"
        ;;
    "doctor "*)
        options="--json --config --help"
        ;;
    "run "*)
        options="--code --language --sandbox --template --env --timeout --output --keep --json --url --sandbox-url --key --help"
        files=yes
        ;;
    "completion "*)
        options="--help"
        words="bash zsh fish"
        ;;
    "sandbox create "* | "sb create "*)
        options="--timeout --env --metadata --offline --pauses --json --url --sandbox-url --key --help"
        [[ $cur == -* ]] || words=$(belljar template list 2>/dev/null | cut -f1 | tr -cd "A-Za-z0-9._:/\n-")
        ;;
    "sandbox list "* | "sb list "*)
        options="--state --json --url --sandbox-url --key --help"
        ;;
    "sandbox info "* | "sb info "*)
        options="--json --url --sandbox-url --key --help"
        [[ $cur == -* ]] || words=$(belljar sandbox list 2>/dev/null | cut -f1 | tr -cd "A-Za-z0-9._:/\n-")
        ;;
    "sandbox exec "* | "sb exec "*)
        options="--user --workdir --env --timeout --json --url --sandbox-url --key --help"
        [[ $cur == -* ]] || words=$(belljar sandbox list 2>/dev/null | cut -f1 | tr -cd "A-Za-z0-9._:/\n-")
        ;;
    "sandbox shell "* | "sb shell "*)
        options="--user --workdir --env --url --sandbox-url --key --help"
        [[ $cur == -* ]] || words=$(belljar sandbox list 2>/dev/null | cut -f1 | tr -cd "A-Za-z0-9._:/\n-")
        ;;
    "sandbox cp "* | "sb cp "*)
        options="--quiet --json --url --sandbox-url --key --help"
        files=yes
        ;;
    "sandbox logs "* | "sb logs "*)
        options="--follow --level --search --json --url --sandbox-url --key --help"
        [[ $cur == -* ]] || words=$(belljar sandbox list 2>/dev/null | cut -f1 | tr -cd "A-Za-z0-9._:/\n-")
        ;;
    "sandbox metrics "* | "sb metrics "*)
        options="--last --json --url --sandbox-url --key --help"
        [[ $cur == -* ]] || words=$(belljar sandbox list 2>/dev/null | cut -f1 | tr -cd "A-Za-z0-9._:/\n-")
        ;;
    "sandbox pause "* | "sb pause "*)
        options="--without-memory --url --sandbox-url --key --help"
        [[ $cur == -* ]] || words=$(belljar sandbox list 2>/dev/null | cut -f1 | tr -cd "A-Za-z0-9._:/\n-")
        ;;
    "sandbox resume "* | "sb resume "*)
        options="--timeout --json --url --sandbox-url --key --help"
        [[ $cur == -* ]] || words=$(belljar sandbox list 2>/dev/null | cut -f1 | tr -cd "A-Za-z0-9._:/\n-")
        ;;
    "sandbox snapshot "* | "sb snapshot "*)
        options="--json --url --sandbox-url --key --help"
        [[ $cur == -* ]] || words=$(belljar sandbox list 2>/dev/null | cut -f1 | tr -cd "A-Za-z0-9._:/\n-")
        ;;
    "sandbox fork "* | "sb fork "*)
        options="--count --timeout --json --url --sandbox-url --key --help"
        [[ $cur == -* ]] || words=$(belljar sandbox list 2>/dev/null | cut -f1 | tr -cd "A-Za-z0-9._:/\n-")
        ;;
    "sandbox kill "* | "sb kill "*)
        options="--url --sandbox-url --key --help"
        [[ $cur == -* ]] || words=$(belljar sandbox list 2>/dev/null | cut -f1 | tr -cd "A-Za-z0-9._:/\n-")
        ;;
    "template build "* | "tpl build "*)
        options="--name --file --build-arg --start --ready --cpus --memory --no-cache --verbose --json --url --sandbox-url --key --help"
        files=yes
        ;;
    "template list "* | "tpl list "*)
        options="--json --url --sandbox-url --key --help"
        ;;
    "template info "* | "tpl info "*)
        options="--json --url --sandbox-url --key --help"
        [[ $cur == -* ]] || words=$(belljar template list 2>/dev/null | cut -f1 | tr -cd "A-Za-z0-9._:/\n-")
        ;;
    "template tag "* | "tpl tag "*)
        options="--json --url --sandbox-url --key --help"
        [[ $cur == -* ]] || words=$(belljar template list 2>/dev/null | cut -f1 | tr -cd "A-Za-z0-9._:/\n-")
        ;;
    "template untag "* | "tpl untag "*)
        options="--url --sandbox-url --key --help"
        [[ $cur == -* ]] || words=$(belljar template list 2>/dev/null | cut -f1 | tr -cd "A-Za-z0-9._:/\n-")
        ;;
    "template delete "* | "tpl delete "*)
        options="--url --sandbox-url --key --help"
        [[ $cur == -* ]] || words=$(belljar template list 2>/dev/null | cut -f1 | tr -cd "A-Za-z0-9._:/\n-")
        ;;
    "keys create "*)
        options="--json --url --sandbox-url --key --help"
        ;;
    "keys list "*)
        options="--json --url --sandbox-url --key --help"
        ;;
    "keys revoke "*)
        options="--url --sandbox-url --key --help"
        ;;
    esac
    [[ $cur == -* ]] && words=$options files=
    mapfile -t COMPREPLY < <(compgen -W "$words" -- "$cur")
    [ -z "$files" ] || mapfile -t -O ${#COMPREPLY[@]} COMPREPLY < <(compgen -f -- "$cur")
}
complete -o filenames -F _belljar belljar
