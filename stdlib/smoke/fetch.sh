# Fetches a page: fetch.sh ADDRESS PORT. What was made a moment ago is given some seconds to reach every node.
set -u
ask='exec 3<>"/dev/tcp/$1/$2" && printf "GET / HTTP/1.0\r\nHost: %s\r\n\r\n" "$1" >&3 && cat <&3'
for _ in $(seq 20); do
    timeout 5 bash -c "$ask" ask "$@" 2>/dev/null | tr -d '\r' | grep 'served by' && exit 0
    sleep 0.5
done
echo "no page comes from $1:$2"
exit 1
