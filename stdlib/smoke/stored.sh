set -eu
raw=$(etcdctl --endpoints https://127.0.0.1:2379 --cacert /etc/etcd/ca.crt --cert /etc/etcd/server.crt --key /etc/etcd/server.key \
    get "$1" --print-value-only | tr -c '[:print:]' .)
case $raw in
'') echo "nothing is stored" ;;
*mydata*) echo "it is stored in the clear" ;;
k8s:enc:*) echo "$raw" | cut -d: -f1-5 ;;
*) echo "it is stored as something else" ;;
esac
