echo "live_stress: these machines have no stress-ng; the case torture is in its place"
exit 77
