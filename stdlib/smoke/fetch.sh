# Fetches a page: fetch.sh ADDRESS PORT. What was made a moment ago is given time to reach every
# node: kube-proxy looks for an API server that was restarted at intervals that grow up to a minute.
set -u
ask='exec 3<>"/dev/tcp/$1/$2" && printf "GET / HTTP/1.0\r\nHost: %s\r\n\r\n" "$1" >&3 && cat <&3'
while [ "$SECONDS" -lt 80 ]; do
    timeout 5 bash -c "$ask" ask "$@" 2>/dev/null | tr -d '\r' | grep 'served by' && exit 0
    sleep 0.5
done
echo "no page comes from $1:$2"
exit 1
