# Logs of a pod and a command in it, for every pod given, through this host's own API server.
set -u
k="kubectl --kubeconfig /root/admin.kubeconfig --namespace $1"
shift
bad=0
for pair in "$@"; do
    node=${pair%%=*} pod=${pair#*=}
    (
        $k logs "$pod" | grep -q "started on $node" || { echo "no logs of a pod on $node" >&2; exit 1; }
        [ "$($k exec "$pod" -- cat /tmp/www/index.html)" = "served by $node" ] || { echo "no command in a pod on $node" >&2; exit 1; }
    ) &
    pids="${pids:-} $!"
done
for pid in $pids; do wait "$pid" || bad=1; done
exit $bad
