# Certificates on this host: verify.sh DAYS [FILE CA USAGE SANS]..., FILE without its ending, SANS parted by commas.
# Says everything that is wrong, and exits with 1 if something is.
set -u
# Each call would read all the world's authorities first, which takes five times as long as what is asked.
export SSL_CERT_FILE=/dev/null
days=$1
shift

# Says what is wrong with one of them.
one() {
    file=$1 ca=$2 usage=$3 sans=$4
    if [ ! -f "$file.crt" ] || [ ! -f "$file.key" ]; then
        echo "$file: the certificate or its key is missing"
        return
    fi
    openssl verify -CAfile "$ca" "$file.crt" >/dev/null 2>&1 || echo "$file.crt: not signed by $ca"
    # One process for all that is asked of the certificate: thirteen hosts have a hundred of them.
    text=$(openssl x509 -in "$file.crt" -noout -pubkey -ext subjectAltName,extendedKeyUsage -checkend $((days * 86400)) 2>/dev/null) || echo "$file.crt: ends within $days days"
    case $text in *"$(openssl pkey -in "$file.key" -pubout)"*) ;; *) echo "$file.key: does not belong to the certificate" ;; esac
    case $usage in *server*) case $text in *'Server Authentication'*) ;; *) echo "$file.crt: not for servers" ;; esac ;; esac
    case $usage in *client*) case $text in *'Client Authentication'*) ;; *) echo "$file.crt: not for clients" ;; esac ;; esac
    # `DNS:one, IP Address:10.0.0.1` becomes `,one,10.0.0.1,`.
    names=,$(echo "$text" | sed -n 's/ *\(DNS\|IP Address\)://gp' | tr '\n' ','),
    IFS=,
    for san in $sans; do
        case $san in *:*) continue ;; esac # written in another way than it is shown
        case $names in *",$san,"*) ;; *) echo "$file.crt: does not name $san" ;; esac
    done
    unset IFS
    set -- $(stat -c '%a %U' "$file.key" "$file.crt")
    [ "$1" = 600 ] || echo "$file.key: mode $1, not 600"
    [ "$2" = "$4" ] || echo "$file: key and certificate have different owners"
}

wrong=$(
    while [ $# -gt 0 ]; do
        one "$1" "$2" "$3" "$4" &
        shift 4
    done
    wait
)
[ -z "$wrong" ] && exit 0
echo "$wrong" | sort
exit 1
