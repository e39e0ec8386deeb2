# A command is followed from its first mapping; a kernel that is too old is refused in one sentence.
pmap --follow -- /bin/busybox true >lines 2>errors
code=$?
cat lines errors
case $KERNEL in
5.10) test $code -ne 0 && test -s errors && test "$(wc -l <errors)" -le 2 ;;
*) test $code -eq 0 && grep -q exec lines ;;
esac
