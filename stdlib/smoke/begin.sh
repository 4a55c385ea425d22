set -eu
namespace=$1 image=$2 pull=$3
k="kubectl --kubeconfig /root/admin.kubeconfig"
# One that an interrupted test left behind goes first.
$k delete namespace "$namespace" --ignore-not-found --timeout=60s >/dev/null
# The first process of a pod hears no signal it does not ask for, and a machine that goes down would wait for it.
serve='mkdir -p /tmp/www && echo "served by $NODE" > /tmp/www/index.html && echo "started on $NODE" && { httpd -f -v -p 8080 -h /tmp/www & trap "kill $!" TERM; wait; }'
pod="
      containers:
      - name: web
        image: $image
        imagePullPolicy: $pull
        command: [sh, -c, '$serve']
        env: [{ name: NODE, valueFrom: { fieldRef: { fieldPath: spec.nodeName } } }]
        ports: [{ containerPort: 8080 }]
        readinessProbe: { httpGet: { path: /, port: 8080 }, periodSeconds: 1 }
      terminationGracePeriodSeconds: 0"
$k create -f - >/dev/null <<YAML
apiVersion: v1
kind: Namespace
metadata: { name: $namespace }
---
apiVersion: v1
kind: Secret
metadata: { name: smoke, namespace: $namespace }
stringData: { mykey: mydata-in-the-clear }
---
apiVersion: apps/v1
kind: DaemonSet
metadata: { name: probe, namespace: $namespace }
spec:
  selector: { matchLabels: { app: probe } }
  template:
    metadata: { labels: { app: probe } }
    spec:$pod
---
apiVersion: apps/v1
kind: Deployment
metadata: { name: web, namespace: $namespace }
spec:
  replicas: 2
  selector: { matchLabels: { app: web } }
  template:
    metadata: { labels: { app: web } }
    spec:$pod
      topologySpreadConstraints:
      - { maxSkew: 1, topologyKey: kubernetes.io/hostname, whenUnsatisfiable: DoNotSchedule, labelSelector: { matchLabels: { app: web } } }
---
apiVersion: v1
kind: Service
metadata: { name: web, namespace: $namespace }
spec:
  type: NodePort
  selector: { app: web }
  ports: [{ port: 80, targetPort: 8080 }]
YAML
