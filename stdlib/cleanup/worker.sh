# Stops a worker's units, its containers, their mounts, links and rules.
systemctl disable --now kubelet kube-proxy 2>/dev/null
if systemctl is-active --quiet containerd; then
    for task in $(ctr -n k8s.io tasks ls -q); do ctr -n k8s.io tasks kill -s SIGKILL "$task" 2>/dev/null; done
fi
systemctl disable --now containerd pod-network 2>/dev/null
# What containers leave running outlives containerd by intent; the command line of each names the namespace.
for pid in $(grep -lzx k8s.io /proc/[0-9]*/cmdline 2>/dev/null | cut -d/ -f3); do
    grep -qz containerd-shim "/proc/$pid/cmdline" && kill -9 "$pid"
done
# The deepest first, and not what is mounted on the two folders themselves.
for i in 1 2 3; do
    awk '$2 ~ "^/(var/lib/kubelet|run/containerd|var/lib/containerd)/" { print $2 }' /proc/mounts | sort -r | while read -r path; do
        umount "$path" 2>/dev/null || umount -l "$path"
    done
done
for name in $(ip -o link show type veth | awk -F'[ :@]+' '/master cni0/ { print $2 }') cni0; do ip link delete "$name" 2>/dev/null; done
for table in "ip kube-proxy" "ip6 kube-proxy" "ip pod-network"; do nft delete table $table 2>/dev/null; done
for namespace in $(ip netns list | awk '/^cni-/ { print $1 }'); do ip netns delete "$namespace"; done
# What kubelet and kube-proxy put between the rules of others.
for tool in iptables ip6tables; do
    if $tool-save 2>/dev/null | grep -q KUBE-; then $tool-save | grep -v KUBE- | $tool-restore; fi
done
systemctl stop kubepods.slice 2>/dev/null
find /sys/fs/cgroup -depth -type d -path '*/kubepods*' -exec rmdir {} + 2>/dev/null
rm -rf /run/containerd /run/flannel /run/nri /var/run/kubernetes
systemctl reset-failed kubelet kube-proxy containerd pod-network 2>/dev/null
exit 0
