set -eu
: > /run/mk-smoke-forward
kubectl --kubeconfig /root/admin.kubeconfig --namespace "$1" port-forward "pod/$2" :8080 > /run/mk-smoke-forward 2>&1 &
pid=$!
trap 'kill $pid; rm -f /run/mk-smoke-forward' EXIT
for _ in $(seq 100); do
    port=$(sed -n 's/^Forwarding from 127.0.0.1:\([0-9]*\) .*/\1/p' /run/mk-smoke-forward)
    [ -n "$port" ] && break
    sleep 0.1
done
exec 3<>"/dev/tcp/127.0.0.1/$port"
printf 'GET / HTTP/1.0\r\n\r\n' >&3
timeout 5 head -n 1 <&3
