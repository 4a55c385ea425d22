# NetworkPolicy: nobody reaches the guarded pods once a policy says so, and those it names reach them again.
# policy.sh NAMESPACE POD=ADDRESS...; every pod is asked from another one, so that each node must enforce.
set -u
namespace=$1
shift
k="kubectl --kubeconfig /root/admin.kubeconfig --namespace $namespace"
first=${1%%=*} second=${2%%=*}

# reach POD all|none ADDRESS...: whether all of them answer, or none does
reach() {
$k exec "$1" -- sh -c '
wanted=$1
shift
work=$(mktemp -d)
for ip; do
    (timeout 2 wget -q -O /dev/null "http://$ip:8080/" && touch "$work/$ip") &
done
wait
for ip; do
    if [ -e "$work/$ip" ]; then found=all; else found=none; fi
    [ "$found" = "$wanted" ] || { echo "$ip"; exit 1; }
done
' sh "$2" $3 2>&1
}

# everywhere all|none: the first pod asks all others, the second the first
everywhere() {
    for _ in 1 2 3 4 5 6 7 8; do
        said=$(reach "$first" "$1" "$others") && said=$(reach "$second" "$1" "$own") && return 0
        sleep 0.5
    done
    echo "$2: $said"
    exit 1
}

own=${1#*=} others=
shift
for pair; do others="$others ${pair#*=}"; done

# guard INGRESS: lets only that reach the pods, a list in YAML's short form
guard() {
    $k apply -f - >/dev/null <<YAML
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: { name: guard }
spec:
  podSelector: { matchLabels: { app: web } }
  policyTypes: [Ingress]
  ingress: $1
YAML
}

everywhere all "before there is a policy, a pod does not answer"
guard '[]'
everywhere none "a pod that nobody may reach answers"
guard '[{ from: [{ podSelector: { matchLabels: { app: web } } }], ports: [{ port: 8080 }] }]'
everywhere all "a pod that its like may reach does not answer"
$k delete networkpolicy guard >/dev/null
