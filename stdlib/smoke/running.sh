# Waits until all pods are ready: running.sh NAMESPACE. A kubelet finds an API server that was restarted within a minute.
set -u
k="kubectl --kubeconfig /root/admin.kubeconfig --namespace $1"
$k rollout status deployment/web --timeout=90s && exit 0
$k get pods -o wide >&2
$k get events --sort-by=.lastTimestamp | tail -n 20 >&2
exit 1
