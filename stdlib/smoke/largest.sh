# Sends the largest packet that fits to every pod, whole, and one that is a byte too long, which must not arrive:
# largest.sh GATEWAY MTU ADDRESS...
set -u
gateway=$1 mtu=$2
shift 2

# The headers of IP and ICMP take 28 bytes of a packet.
echo_of() { ping -q -c 1 -W "$3" -M do -s $(($2 - 28)) -I "$gateway" "$1" >/dev/null 2>&1; }

one() {
    echo_of "$1" "$mtu" 3 || echo "a packet of $mtu bytes does not arrive at $1"
    # It fails here and at once where the way's limit is known; else it is lost on the way.
    ! echo_of "$1" $((mtu + 1)) 0.3 || echo "a packet of $((mtu + 1)) bytes arrived at $1, though the network's limit is $mtu"
}

wrong=$(
    for address; do one "$address" & done
    wait
)
[ -z "$wrong" ] && exit 0
echo "$wrong" | sort
exit 1
