# Makes what is tested: begin.sh NAMESPACE IMAGE PULL WORKERS.
set -eu
namespace=$1 image=$2 pull=$3 workers=$4
k="kubectl --kubeconfig /root/admin.kubeconfig"
objects=$(cat <<YAML
apiVersion: v1
kind: Namespace
metadata: { name: $namespace, labels: { mk-smoke: "" } }
---
apiVersion: v1
kind: Secret
metadata: { name: smoke, namespace: $namespace }
stringData: { mykey: mydata-in-the-clear }
---
apiVersion: v1
kind: Service
metadata: { name: web, namespace: $namespace, labels: { app: web } }
spec:
  type: NodePort
  selector: { app: web }
  ports: [{ port: 80, targetPort: 8080 }]
---
apiVersion: apps/v1
kind: Deployment
metadata: { name: web, namespace: $namespace }
spec:
  replicas: $workers
  # No new pod finds room beside an old one.
  strategy: { type: Recreate }
  selector: { matchLabels: { app: web } }
  template:
    metadata: { labels: { app: web } }
    spec:
      affinity:
        # One on every worker.
        podAntiAffinity:
          requiredDuringSchedulingIgnoredDuringExecution:
          - { topologyKey: kubernetes.io/hostname, labelSelector: { matchLabels: { app: web } } }
      containers:
      - name: web
        image: $image
        imagePullPolicy: $pull
        # The first process of a pod hears no signal it does not ask for, and a machine that goes down would wait for it.
        command:
        - sh
        - -c
        - >-
          mkdir -p /tmp/www && echo "served by \$NODE" > /tmp/www/index.html && echo "started on \$NODE" &&
          { httpd -f -v -p 8080 -h /tmp/www & trap "kill \$!" TERM; wait; }
        env: [{ name: NODE, valueFrom: { fieldRef: { fieldPath: spec.nodeName } } }]
        ports: [{ containerPort: 8080 }]
        readinessProbe: { httpGet: { path: /, port: 8080 }, periodSeconds: 1 }
      terminationGracePeriodSeconds: 0
YAML
)
# Checked by the server alone: kubectl would fetch a description of all there is for it.
echo "$objects" | $k create --validate=ignore -f - >/dev/null
