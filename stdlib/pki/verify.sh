# Certificates on this host: verify.sh DAYS [FILE CA USAGE SANS]..., FILE without its ending, SANS parted by commas.
# Says everything that is wrong, and exits with 1 if something is.
set -u
days=$1
shift
bad=0
wrong() {
    echo "$1"
    bad=1
}
while [ $# -gt 0 ]; do
    file=$1 ca=$2 usage=$3 sans=$4
    shift 4
    if [ ! -f "$file.crt" ] || [ ! -f "$file.key" ]; then
        wrong "$file: the certificate or its key is missing"
        continue
    fi
    openssl verify -CAfile "$ca" "$file.crt" >/dev/null 2>&1 || wrong "$file.crt: not signed by $ca"
    [ "$(openssl x509 -in "$file.crt" -noout -pubkey)" = "$(openssl pkey -in "$file.key" -pubout)" ] || wrong "$file.key: does not belong to the certificate"
    openssl x509 -in "$file.crt" -noout -checkend $((days * 86400)) >/dev/null || wrong "$file.crt: ends within $days days"
    text=$(openssl x509 -in "$file.crt" -noout -ext subjectAltName,extendedKeyUsage 2>/dev/null)
    case $usage in *server*) echo "$text" | grep -q 'Server Authentication' || wrong "$file.crt: not for servers" ;; esac
    case $usage in *client*) echo "$text" | grep -q 'Client Authentication' || wrong "$file.crt: not for clients" ;; esac
    for san in $(echo "$sans" | tr ',' ' '); do
        case $san in *:*) continue ;; esac # written in another way than it is shown
        echo "$text" | tr ',' '\n' | grep -q "[: ]*\(DNS\|IP Address\):$san\$" || wrong "$file.crt: does not name $san"
    done
    mode=$(stat -c %a "$file.key")
    [ "$mode" = 600 ] || wrong "$file.key: mode $mode, not 600"
    [ "$(stat -c %U "$file.key")" = "$(stat -c %U "$file.crt")" ] || wrong "$file: key and certificate have different owners"
done
exit $bad
