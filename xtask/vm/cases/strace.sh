echo "live_strace: these machines have no strace"
exit 77
