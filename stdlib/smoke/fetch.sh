set -eu
exec 3<>"/dev/tcp/$1/$2"
printf 'GET / HTTP/1.0\r\nHost: %s\r\n\r\n' "$1" >&3
timeout 5 cat <&3 | tr -d '\r' | grep 'served by'
