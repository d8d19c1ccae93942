# Completion of sluice for fish. The program itself knows its commands and options.
# SPDX-License-Identifier: MIT

function __sluice_words
    set -l words (commandline -opc)
    if test (count $words) -gt 1
        sluice --complete $words[2] 2>/dev/null
    else
        sluice --complete 2>/dev/null
    end
end

complete -c sluice -f -n 'not contains -- (commandline -opc)[-1] -c --config -r --root --access-log --error-log' -a '(__sluice_words)'
