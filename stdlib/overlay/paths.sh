# Reaches for every host given as NAME=ADDRESS with whole packets, all at once: `NAME MILLISECONDS`, or `NAME lost`
# when twenty seconds have not sufficed. The first packets go by the relay until the two ends have found each other.
size=$1
shift
reach() {
    try=0
    until ping -q -n -M do -s "$size" -c 1 -W 1 "$2" >/dev/null 2>&1; do
        try=$((try + 1))
        [ $try -lt 20 ] || { echo "$1 lost"; return; }
        sleep 0.1
    done
    told=$(ping -q -n -M do -s "$size" -c 2 -i 0.2 -W 2 "$2" 2>&1)
    echo "$1 $(echo "$told" | sed -n 's:^rtt[^=]*= \([0-9.]*\)/.*:\1:p')"
}
for pair; do reach "${pair%%=*}" "${pair#*=}" & done
wait
