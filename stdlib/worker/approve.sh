# Approves the serving certificates that kubelets ask for: approve.sh NAME=ADDRESS...
# Each must ask as itself, and for its own name and address only.
set -u
k="kubectl --kubeconfig /root/admin.kubeconfig"
end=$(($(date +%s) + 100))
waiting="$*"
while [ -n "$waiting" ]; do
    [ "$(date +%s)" -lt $end ] || { echo "no request came from: $waiting" >&2; exit 1; }
    left=
    for pair in $waiting; do
        node=${pair%%=*} address=${pair#*=}
        done=
        for csr in $($k get csr -o jsonpath="{range .items[?(@.spec.username=='system:node:$node')]}{.metadata.name} {end}"); do
            [ "$($k get csr "$csr" -o jsonpath='{.spec.signerName}')" = kubernetes.io/kubelet-serving ] || continue
            if [ -n "$($k get csr "$csr" -o jsonpath='{.status.certificate}')" ]; then done=1; continue; fi
            names=$($k get csr "$csr" -o jsonpath='{.spec.request}' | base64 -d | openssl req -noout -text |
                sed -n '/Subject Alternative Name/{n;p}' | tr ',' '\n' | tr -d ' ' | sort | tr '\n' ' ')
            if [ "$names" = "DNS:$node IPAddress:$address " ]; then
                $k certificate approve "$csr" >/dev/null && done=1
            else
                echo "$node asks for a certificate of: $names" >&2
                exit 1
            fi
        done
        [ -n "$done" ] || left="$left $pair"
    done
    waiting=${left# }
    [ -z "$waiting" ] || sleep 0.3
done
