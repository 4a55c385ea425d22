# Takes kube-router's rules, chains and sets of addresses out of the kernel; its own command for that needs IPVS.
set -eu
for kind in iptables ip6tables; do
    $kind-save -t filter > /run/mk-rules
    grep -Eq 'KUBE-(ROUTER|POD-FW|NWPLCY)' /run/mk-rules || continue
    grep -Ev 'KUBE-(ROUTER|POD-FW|NWPLCY)' /run/mk-rules | $kind-restore -T filter
done
rm -f /run/mk-rules
for set in $(ipset list -n); do
    case $set in
        KUBE-SRC-* | KUBE-DST-* | inet6:KUBE-SRC-* | inet6:KUBE-DST-* | kube-router-* | inet6:kube-router-*) ipset destroy "$set" ;;
    esac
done
