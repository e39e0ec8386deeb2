complete -c pmap -s C -l read-rc-from -d 'read the rc from file' -r -F
complete -c pmap -s N -l create-rc-to -d 'create new rc to file. NOTE: pid arguments are not allowed with -n, -N' -r -F
complete -c pmap -s A -l range -d 'limit results to the given range' -r
complete -c pmap -l smaps-interval -d 'read smaps this often, whatever it costs' -r
complete -c pmap -l smaps-budget -d 'time spent on reading smaps (default 1)' -r
complete -c pmap -l buffer -d 'size of the buffer for events in the kernel' -r
complete -c pmap -l color -d 'colour: auto, always or never' -r -f -a "auto\t''
always\t''
never\t''"
complete -c pmap -s x -l extended -d 'show details'
complete -c pmap -s X -d 'show even more details; twice: show everything the kernel provides. WARNING: format changes according to /proc/PID/smaps'
complete -c pmap -s c -l read-rc -d 'read the default rc'
complete -c pmap -s n -l create-rc -d 'create new default rc'
complete -c pmap -s d -l device -d 'show the device format'
complete -c pmap -s q -l quiet -d 'do not display header and footer'
complete -c pmap -s p -l show-path -d 'show path in the mapping'
complete -c pmap -s h -l help -d 'display this help and exit'
complete -c pmap -s V -l version -d 'output version information and exit'
complete -c pmap -s k -l use-kernel-name -d 'use names provided by kernel'
complete -c pmap -l json -d 'print JSON, one object a line'
complete -c pmap -l follow -d 'print every change of the mappings as it happens'
complete -c pmap -l children -d 'follow what the processes fork, too'
complete -c pmap -l failed -d 'print calls that failed, too'
complete -c pmap -l table -d 'print the mappings first, then their changes'
complete -c pmap -l check -d 'say what this kernel allows, and exit'
