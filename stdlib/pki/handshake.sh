# Speaks TLS with servers, with all at once: handshake.sh [ADDRESS CA CERT]...; CERT without its ending, or `-`.
set -u

# Says what is wrong with one of them. The name that is checked is the address itself: the certificate must cover it.
one() {
    address=$1 own=
    [ "$3" = - ] || own="-cert $3.crt -key $3.key"
    said=$(timeout 10 openssl s_client -connect "$address" -CAfile "$2" -verify_return_error -verify_ip "${address%:*}" $own </dev/null 2>&1 >/dev/null) && return
    echo "$address: $(echo "$said" | grep -m 1 -i error || echo 'no answer')"
}

wrong=$(
    while [ $# -gt 0 ]; do
        one "$1" "$2" "$3" &
        shift 3
    done
    wait
)
[ -z "$wrong" ] && exit 0
echo "$wrong" | sort
exit 1
