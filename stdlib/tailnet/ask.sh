# Asks an API: ask.sh VERB URL. Standard input holds curl's configuration, with the key in it, and after an empty line
# the certificate of the authority to trust, if it takes one.
set -eu
umask 077
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cat > "$work/all"
sed '/^$/,$d' "$work/all" > "$work/config"
sed '1,/^$/d' "$work/all" > "$work/ca"
[ ! -s "$work/ca" ] || set -- "$@" --cacert "$work/ca"
verb=$1
shift
curl --silent --show-error --fail-with-body --max-time 30 --config "$work/config" --request "$verb" "$@"
