# From inside of a pod: the cluster's DNS, a service by its name, the API's virtual address, pods of other nodes.
# Debian's busybox crashes at wget's own -T.
set -u
namespace=$1 pod=$2 api=$3 domain=$4
shift 4
ask() {
kubectl --kubeconfig /root/admin.kubeconfig --namespace "$namespace" exec "$pod" -- sh -c '
api=$1 domain=$2 namespace=$3
shift 3
nslookup "kubernetes.default.svc.$domain" | grep -q "$api" || { echo "it does not find kubernetes.default.svc.$domain at $api"; exit 1; }
timeout 5 wget -q -O - "http://web.$namespace.svc.$domain/" | grep -q "served by" || { echo "the service web does not answer by its name"; exit 1; }
timeout 5 wget -q -O - http://web/ | grep -q "served by" || { echo "the service web does not answer by its short name"; exit 1; }
nc -w 5 "$api" 443 < /dev/null || { echo "the API does not answer at $api"; exit 1; }
for pair in "$@"; do
    node=${pair%%=*} ip=${pair#*=}
    timeout 5 wget -q -O - "http://$ip:8080/" | grep -q "served by $node" || { echo "the pod on $node does not answer at $ip"; exit 1; }
done
' sh "$api" "$domain" "$namespace" "$@"
}
# CoreDNS and kube-proxy look for an API server that went away at intervals that grow up to a minute: after a restart
# of the control plane they learn of a new service that late.
until said=$(ask "$@" 2>&1); do
    [ "$SECONDS" -lt 80 ] || { echo "$said"; exit 1; }
    sleep 2
done
