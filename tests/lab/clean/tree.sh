# Everything that is on this host's disks: each path with its type, mode, owner, target and the digest of its content.
# Then what runs and what the kernel passes on: links, rules for routes, filters of packets, units.
roots=$(awk '$3 != "tmpfs" { print $2 }' /proc/mounts | grep -Ev '^/(proc|sys|dev|run|tmp)(/|$)' | sort -u)
each() { find $roots -xdev \( -path /proc -o -path /sys -o -path /dev -o -path /run -o -path /tmp \) -prune -o "$@"; }
each -printf '%p\t%y %#m %u:%g %l\n' | sort -u
each -type f -print0 | sort -zu | xargs -0 sha256sum | awk '{ d = $1; sub(/^[^ ]+ +/, ""); print $0 "\tsha256 " d }'
ip -o link | awk -F'[: @]+' '{ print "link " $2 "\tthere" }'
ip rule | awk '{ print "rule " $0 "\tthere" }'
for tool in iptables ip6tables; do $tool-save | grep ^-A | sed "s/^/$tool /; s/$/\tthere/"; done
# Tables of iptables's own stay when they are empty.
nft list tables | grep -Ev ' (filter|nat|mangle|raw)$' | sed 's/$/\tthere/'
systemctl list-units --type=service --state=running,failed --no-legend --plain | awk '{ print "unit " $1 "\t" $3 " " $4 }'
find /sys/fs/cgroup -type d -name 'kubepods*' | sed 's/$/\tthere/'
