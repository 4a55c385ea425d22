#!/bin/bash
# Fills the artifact mirror: builds COMPONENTs from their published Go modules and packs them
# under upstream's file names, with upstream's inner layout.
#
#   tests/mirror/fill.sh [-n] [-o DIR] [-a ARCH] COMPONENT...      (COMPONENT: a directory beside this file)
#
# Run it again at any time: what is there and built from the same inputs is kept. -n only looks: exit 1 when
# something is to be built.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
out=/var/cache/mk/mirror
arch=amd64
look=
while getopts no:a: flag; do
    case $flag in
        n) look=1 ;;
        o) out=$OPTARG ;;
        a) arch=$OPTARG ;;
        *) exit 2 ;;
    esac
done
shift $((OPTIND - 1))
[ $# -gt 0 ] || { echo "usage: fill.sh [-n] [-o DIR] [-a ARCH] COMPONENT..." >&2; exit 2; }
command -v go >/dev/null || PATH=$PATH:/usr/local/go/bin
mkdir -p "$out/.entries"
exec 9>"$out/.lock"
flock 9
rm -rf "$out"/.work.* # what a killed fill left

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
    tar -C "$work" --sort=name --hard-dereference --format=gnu --mtime=@0 --owner=0 --group=0 --numeric-owner --mode=u=rwX,go=rX -cf - "$@" \
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

fill_containerd() {
    local v c=github.com/containerd/containerd/v2
    v=$(pinned $c)
    tags='no_btrfs no_devmapper no_zfs netgo osusergo' build "$work/bin" "-X $c/version.Version=v$v" \
        $c/cmd/{containerd=containerd,containerd-shim-runc-v2=containerd-shim-runc-v2,containerd-stress=containerd-stress,ctr=ctr}
    pack "containerd-$v-linux-$arch.tar.gz" bin
    entry containerd "$v" "containerd-$v-linux-$arch.tar.gz"
}

# The one that needs a C compiler and libseccomp-dev: without seccomp no pod starts.
fill_runc() {
    local v
    [ "$arch" = "$(go env GOHOSTARCH)" ] || { echo "fill.sh: runc is built for this machine's own architecture only" >&2; exit 1; }
    v=$(pinned github.com/opencontainers/runc)
    cgo=1 tags='seccomp urfave_cli_no_docs netgo osusergo' build "$out" '-linkmode external -extldflags -static' \
        "github.com/opencontainers/runc=runc.$arch.new"
    entry runc "$v" "runc.$arch"
}

fill_cni_plugins() {
    local v plugins=github.com/containernetworking/plugins pairs=() package
    v=$(pinned $plugins)
    for package in $(sed -n 's/^\t_ "\(.*\)"$/\1/p' "$here/$component/tools.go"); do pairs+=("$package=${package##*/}"); done
    build "$work/out" "-X $plugins/pkg/utils/buildversion.BuildVersion=v$v" "${pairs[@]}"
    mv "$work/out" "$work/flat"
    work=$work/flat pack "cni-plugins-linux-$arch-v$v.tgz" .
    entry cni-plugins "$v" "cni-plugins-linux-$arch-v$v.tgz"
}

fill_coredns() {
    local v
    v=$(pinned github.com/coredns/coredns)
    build "$work" '' github.com/coredns/coredns=coredns
    pack "coredns_${v}_linux_$arch.tgz" coredns
    entry coredns "$v" "coredns_${v}_linux_$arch.tgz"
}

fill_registry() {
    local v r=github.com/distribution/distribution/v3
    v=$(pinned $r)
    build "$work" "-X $r/version.version=v$v" $r/cmd/registry=registry
    pack "registry_${v}_linux_$arch.tar.gz" registry
    entry registry "$v" "registry_${v}_linux_$arch.tar.gz"
}

fill_tailscale() {
    local v dir from
    v=$(pinned tailscale.com)
    dir=tailscale_${v}_$arch
    build "$work/$dir" "-X tailscale.com/version.longStamp=$v -X tailscale.com/version.shortStamp=$v" \
        tailscale.com/cmd/tailscale=tailscale tailscale.com/cmd/tailscaled=tailscaled
    from=$(cd "$here/$component" && GOFLAGS=-mod=mod go list -m -f '{{.Dir}}' tailscale.com)
    mkdir "$work/$dir/systemd"
    install -m 0644 "$from"/cmd/tailscaled/tailscaled.{service,defaults} "$work/$dir/systemd/"
    pack "$dir.tgz" "$dir"
    entry tailscale "$v" "$dir.tgz"
}

fill_headscale() {
    local v h=github.com/juanfont/headscale
    v=$(pinned $h)
    tags=ts2019 build "$out" "-X $h/cmd/headscale/cli.Version=v$v" "$h/cmd/headscale=headscale_${v}_linux_$arch.new"
    entry headscale "$v" "headscale_${v}_linux_$arch"
}

fill_kube_router() {
    local v r=github.com/cloudnativelabs/kube-router/v2
    v=$(pinned $r)
    build "$work" "-X $r/pkg/version.Version=v$v" $r/cmd/kube-router=kube-router
    pack "kube-router_${v}_linux_$arch.tar.gz" kube-router
    entry kube-router "$v" "kube-router_${v}_linux_$arch.tar.gz"
}

# Two archives, as upstream has them: what a controller needs and what a worker needs.
fill_kubernetes() {
    local v k=k8s.io/kubernetes flags='' package
    v=$(pinned $k)
    for package in k8s.io/component-base/version k8s.io/client-go/pkg/version; do
        # without them kubelet reports v0.0.0
        flags+=" -X $package.gitVersion=v$v -X $package.gitMajor=${v%%.*} -X $package.gitMinor=$(cut -d. -f2 <<<"$v")"
        flags+=" -X $package.gitCommit=unknown -X $package.gitTreeState=clean -X $package.buildDate=1970-01-01T00:00:00Z"
    done
    build "$work/all" "$flags" $k/cmd/{kube-apiserver=kube-apiserver,kube-controller-manager=kube-controller-manager} \
        $k/cmd/{kube-scheduler=kube-scheduler,kube-proxy=kube-proxy,kubeadm=kubeadm,kubectl=kubectl,kubelet=kubelet}
    mkdir -p "$work"/kubernetes/{server,node}/bin
    cp -l "$work"/all/* "$work/kubernetes/server/bin/"
    cp -l "$work"/all/{kube-proxy,kubeadm,kubectl,kubelet} "$work/kubernetes/node/bin/"
    for package in server node; do
        pack "kubernetes-$package-linux-$arch.tar.gz" "kubernetes/$package"
        entry "kubernetes-$package" "$v" "kubernetes-$package-linux-$arch.tar.gz"
    done
}

for component; do
    [ -d "$here/$component" ] || { echo "fill.sh: no component $component in $here" >&2; exit 2; }
    recipe=fill_${component//-/_}
    inputs=$({ cat "$here/$component"/{go.mod,go.sum,tools.go}; declare -f "$recipe" build pack; go version; } | sha256sum | cut -d' ' -f1)
    stamp=$out/.entries/.$component-$arch # first line: digest of the inputs; then the files made
    if [ -e "$stamp" ] && [ "$(head -1 "$stamp")" = "$inputs" ] && tail -n +2 "$stamp" | xargs -r -d '\n' ls >/dev/null 2>&1; then
        echo "ok $component"
        continue
    fi
    [ -z "$look" ] || exit 1
    work=$(mktemp -d "$out/.work.XXXXXX")
    trap 'rm -rf "$work"' EXIT
    made=$work/.made
    "$recipe"
    { echo "$inputs"; cat "$made"; } >"$stamp.new"
    mv "$stamp.new" "$stamp"
    rm -rf "$work"
    echo "changed $component"
done

[ -z "$look" ] || exit 0
cat "$out"/.entries/[a-z]* >"$out/artifacts.lock.yaml.new"
mv "$out/artifacts.lock.yaml.new" "$out/artifacts.lock.yaml"
