# Plain pmap works on every kernel: a header, at least a mapping, a total.
set -e
pmap $$ >listing
head -n 1 listing | grep -q "^$$:"
test "$(wc -l <listing)" -gt 2
tail -n 1 listing | grep -q "^ *total "
