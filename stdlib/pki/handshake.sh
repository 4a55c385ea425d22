# Speaks TLS with servers: handshake.sh [ADDRESS CA CERT]...; CERT without its ending, or `-`.
set -u
bad=0
while [ $# -gt 0 ]; do
    address=$1 ca=$2 cert=$3
    shift 3
    own=
    [ "$cert" = - ] || own="-cert $cert.crt -key $cert.key"
    # The name of what is checked is the address itself: the certificate must cover it.
    echo | timeout 10 openssl s_client -connect "$address" -CAfile "$ca" -verify_return_error -verify_ip "${address%:*}" $own >/dev/null 2>/tmp/mk-handshake.$$ || {
        echo "$address: $(grep -m 1 -i 'error' /tmp/mk-handshake.$$ || echo 'no answer')"
        bad=1
    }
    rm -f /tmp/mk-handshake.$$
done
exit $bad
