# Reaches for every host given as NAME=ADDRESS with whole packets, all at once: `NAME MILLISECONDS`, or `NAME lost`
# when twenty seconds have not sufficed. The first packets get lost, or go by the relay, until the two ends have found
# each other; so they go on until one has come back.
size=$1
shift
reach() {
    told=$(ping -q -n -M do -s "$size" -c 1 -i 0.1 -w 20 "$2" 2>&1) || { echo "$1 lost"; return; }
    # It ends with `rtt min/avg/max/mdev = 0.550/0.550/0.550/0.000 ms`.
    told=${told##*= }
    echo "$1 ${told%%/*}"
}
for pair; do reach "${pair%%=*}" "${pair#*=}" & done
wait
