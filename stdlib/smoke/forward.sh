# Asks a pod for its page through a port of this host: forward.sh NAMESPACE POD.
coproc forward { exec kubectl --kubeconfig /root/admin.kubeconfig --namespace "$1" port-forward "pod/$2" :8080 2>&1; }
pid=$!
trap 'kill $pid 2>/dev/null' EXIT
exec 4<&"${forward[0]}"
port=
while [ -z "$port" ] && read -r -t 10 line <&4; do
    case $line in
    "Forwarding from 127.0.0.1:"*) port=${line#*127.0.0.1:} port=${port%% *} ;;
    *) echo "$line" ;;
    esac
done
[ -n "$port" ] || { echo "no port is forwarded"; exit 1; }
exec 3<>"/dev/tcp/127.0.0.1/$port"
printf 'GET / HTTP/1.0\r\n\r\n' >&3
read -r -t 5 line <&3
echo "$line"
