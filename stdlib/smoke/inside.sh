# Runs commands in pods: the cluster's DNS, a service by its name, the API's virtual address, the pods of all nodes.
# inside.sh NAMESPACE API DOMAIN "NODE=POD..." NODE=ADDRESS...
set -u
namespace=$1 api=$2 domain=$3 pods=$4
shift 4

# Asks from inside of one pod: ask NODE POD NODE=ADDRESS...
ask() {
node=$1 pod=$2
shift 2
kubectl --kubeconfig /root/admin.kubeconfig --namespace "$namespace" exec "$pod" -- sh -c '
node=$1 api=$2 domain=$3 namespace=$4
shift 4
[ "$(cat /tmp/www/index.html)" = "served by $node" ] || { echo "a command runs in another pod"; exit 1; }
nslookup "kubernetes.default.svc.$domain" | grep -q "$api" || { echo "it does not find kubernetes.default.svc.$domain at $api"; exit 1; }
nc -w 5 "$api" 443 < /dev/null || { echo "the API does not answer at $api"; exit 1; }
# The service by its names, and then all pods, each by its address; it ends at the first that does not answer.
# Debian'"'"'s busybox crashes at wget'"'"'s own -T.
urls="http://web.$namespace.svc.$domain/ http://web/"
for pair; do urls="$urls http://${pair#*=}:8080/"; done
answers=$(timeout 20 wget -q -O - $urls 2>&1)
for url in $urls; do
    answer=${answers%%
*}
    wanted="served by *"
    case $url in *:8080/) wanted="served by ${1%%=*}" && shift ;; esac
    case $answer in $wanted) ;; *) echo "$url does not answer with \"$wanted\": $answer"; exit 1 ;; esac
    answers=${answers#*
}
done
' sh "$node" "$api" "$domain" "$namespace" "$@"
}

# CoreDNS and kube-proxy look for an API server that went away at intervals that grow up to a minute: after a restart
# of the control plane they learn of a new service that late.
until_well() {
    until said=$(ask "$@" 2>&1); do
        [ "$SECONDS" -lt 80 ] || { echo "from the pod on $1: $said"; return; }
        sleep 1
    done
}

wrong=$(
    for pair in $pods; do until_well "${pair%%=*}" "${pair#*=}" "$@" & done
    wait
)
[ -z "$wrong" ] && exit 0
echo "$wrong"
exit 1
