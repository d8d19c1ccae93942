# Completion of sluice for bash. The program itself knows its commands and options.
# SPDX-License-Identifier: MIT

_sluice()
{
    local current=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]} command=
    [ "$COMP_CWORD" -gt 1 ] && command=${COMP_WORDS[1]}
    case $before in
        -c|--config|-r|--root|--access-log|--error-log) mapfile -t COMPREPLY < <(compgen -f -- "$current"); return ;;
    esac
    mapfile -t COMPREPLY < <(compgen -W "$(sluice --complete "$command" 2>/dev/null)" -- "$current")
}

complete -o filenames -F _sluice sluice
