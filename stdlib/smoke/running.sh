set -u
k="kubectl --kubeconfig /root/admin.kubeconfig --namespace $1"
$k rollout status daemonset/probe --timeout=60s && $k rollout status deployment/web --timeout=60s && exit 0
$k get pods -o wide >&2
$k get events --sort-by=.lastTimestamp | tail -n 20 >&2
exit 1
