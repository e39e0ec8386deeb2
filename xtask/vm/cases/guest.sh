# The machine is what the table says: its version, its lockdown, its BTF.
set -e
release=$(uname -r)
case $KERNEL in
newest) ;;
*) case $release in "$KERNEL".*) ;; *) echo "kernel $release is not $KERNEL" && exit 1 ;; esac ;;
esac
grep -q "\[${LOCKDOWN:-none}\]" /sys/kernel/security/lockdown
test -s /sys/kernel/btf/vmlinux
