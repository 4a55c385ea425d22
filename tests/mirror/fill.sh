#!/bin/bash
# Fills the artifact mirror: builds COMPONENTs from their published Go modules and packs them
# under upstream's file names, with upstream's inner layout.
#
#   tests/mirror/fill.sh [-o DIR] [-a ARCH] COMPONENT...      (COMPONENT: a directory beside this file)
#
# Run it again at any time: what is there and built from the same inputs is kept.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
out=/var/cache/mk/mirror
arch=amd64
while getopts o:a: flag; do
    case $flag in
        o) out=$OPTARG ;;
        a) arch=$OPTARG ;;
        *) exit 2 ;;
    esac
done
shift $((OPTIND - 1))
[ $# -gt 0 ] || { echo "usage: fill.sh [-o DIR] [-a ARCH] COMPONENT..." >&2; exit 2; }
command -v go >/dev/null || PATH=$PATH:/usr/local/go/bin
mkdir -p "$out/.entries"
exec 9>"$out/.lock"
flock 9

# The version of MODULE that COMPONENT's go.mod pins, without its `v`.
pinned() { (cd "$here/$component" && GOFLAGS=-mod=mod go list -m -f '{{.Version}}' "$1" | sed 's/^v//'); }

# build OUTPUT-DIR 'GO-BUILD-FLAGS' PACKAGE=NAME...
build() {
    local to=$1 flags=$2 pair
    shift 2
    mkdir -p "$to"
    for pair; do
        (cd "$here/$component" && CGO_ENABLED=${cgo:-0} GOOS=linux GOARCH=$arch \
            go build -mod=mod -trimpath -buildvcs=false -tags "${tags:-}" -ldflags "-s -w $flags" -o "$to/${pair#*=}" "${pair%%=*}")
    done
}

# pack FILE MEMBER...: the same bytes from the same content, wherever and whenever it is made.
pack() {
    local file=$1
    shift
    tar -C "$work" --sort=name --format=gnu --mtime=@0 --owner=0 --group=0 --numeric-owner --mode=u=rwX,go=rX -cf - "$@" \
        | gzip -n -6 >"$out/$file.new"
}

# entry NAME VERSION FILE: renames the finished FILE into place and writes its line of the lock.
entry() {
    local sum
    sum=$(sha256sum "$out/$3.new" | cut -d' ' -f1)
    mv "$out/$3.new" "$out/$3"
    echo "- {name: $1, version: $2, arch: $arch, url: $3, sha256: $sum}" >"$out/.entries/$1-$2-$arch"
    echo "$out/$3" >>"$made"
}

fill_etcd() {
    local v dir
    v=$(pinned go.etcd.io/etcd/server/v3)
    dir=etcd-v$v-linux-$arch
    build "$work/$dir" '' go.etcd.io/etcd/server/v3=etcd go.etcd.io/etcd/etcdctl/v3=etcdctl go.etcd.io/etcd/etcdutl/v3=etcdutl
    pack "$dir.tar.gz" "$dir"
    entry etcd "$v" "$dir.tar.gz"
}

for component; do
    [ -d "$here/$component" ] || { echo "fill.sh: no component $component in $here" >&2; exit 2; }
    inputs=$(cat "$here/$component"/{go.mod,go.sum,tools.go} "$0" <(go version) | sha256sum | cut -d' ' -f1)
    stamp=$out/.entries/.$component-$arch # first line: digest of the inputs; then the files made
    if [ -e "$stamp" ] && [ "$(head -1 "$stamp")" = "$inputs" ] && tail -n +2 "$stamp" | xargs -r -d '\n' ls >/dev/null 2>&1; then
        echo "ok $component"
        continue
    fi
    work=$(mktemp -d "$out/.work.XXXXXX")
    trap 'rm -rf "$work"' EXIT
    made=$work/.made
    "fill_${component//-/_}"
    { echo "$inputs"; cat "$made"; } >"$stamp.new"
    mv "$stamp.new" "$stamp"
    rm -rf "$work"
    echo "changed $component"
done

cat "$out"/.entries/[a-z]* >"$out/artifacts.lock.yaml.new"
mv "$out/artifacts.lock.yaml.new" "$out/artifacts.lock.yaml"
