//! The network: through `ip` where the host has it, out of the kernel's tables otherwise.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{line, said, text};
use crate::sys::Probe;

/// A network interface.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
struct Interface {
    name: String,
    mac: Option<String>,
    mtu: Option<u32>,
    up: bool,
    addresses: Vec<String>,
}

/// A route of the main table.
#[derive(Debug, Clone, PartialEq)]
struct Route {
    interface: String,
    to: Ipv4Addr,
    mask: Ipv4Addr,
    gateway: Ipv4Addr,
    metric: u32,
}

pub(super) fn interfaces(probe: &Probe) -> Value {
    serde_json::to_value(read(probe)).unwrap_or_default()
}

pub(super) fn default_ipv4(probe: &Probe) -> Value {
    let routes = routes(&text(probe, "/proc/net/route"));
    let default = routes.into_iter().filter(|route| route.mask.is_unspecified()).min_by_key(|route| route.metric);
    let Some(default) = default else { return Value::Null };
    let interfaces = read(probe);
    let own = interfaces.iter().find(|interface| interface.name == default.interface);
    let mut addresses = own.into_iter().flat_map(|interface| &interface.addresses);
    let address = addresses.find_map(|address| address.split('/').next()?.parse::<Ipv4Addr>().ok());
    // Some links have no gateway: everything is reached directly.
    let gateway = Some(default.gateway.to_string()).filter(|_| !default.gateway.is_unspecified());
    json!({ "interface": default.interface, "gateway": gateway, "address": address.map(|address| address.to_string()) })
}

fn read(probe: &Probe) -> Vec<Interface> {
    let told = said(probe, &["ip", "-j", "addr"]).and_then(|text| from_ip(&text));
    told.unwrap_or_else(|| from_kernel(probe))
}

/// Reads what `ip -j addr` prints.
fn from_ip(text: &str) -> Option<Vec<Interface>> {
    #[derive(Deserialize)]
    struct Link {
        ifname: String,
        address: Option<String>,
        mtu: Option<u32>,
        #[serde(default)]
        flags: Vec<String>,
        #[serde(default)]
        addr_info: Vec<Address>,
    }
    #[derive(Deserialize)]
    struct Address {
        local: Option<String>,
        prefixlen: u8,
    }
    let links: Vec<Link> = serde_json::from_str(text).ok()?;
    let interface = |link: Link| Interface {
        name: link.ifname,
        mac: link.address.filter(|mac| is_mac(mac)),
        mtu: link.mtu,
        up: link.flags.iter().any(|flag| flag == "UP"),
        addresses: link.addr_info.into_iter().filter_map(|a| Some(format!("{}/{}", a.local?, a.prefixlen))).collect(),
    };
    Some(links.into_iter().map(interface).collect())
}

/// Whether it is the address of a card: a loopback has zeros, a tunnel has an address of its network.
fn is_mac(text: &str) -> bool {
    text.len() == 17 && text != "00:00:00:00:00:00"
}

fn from_kernel(probe: &Probe) -> Vec<Interface> {
    let names = probe.list(Path::new("/sys/class/net")).ok().flatten().unwrap_or_default();
    let routes = routes(&text(probe, "/proc/net/route"));
    let (four, six) = (local_ipv4(&text(probe, "/proc/net/fib_trie")), ipv6(&text(probe, "/proc/net/if_inet6")));
    let interface = |name: String| {
        let fact = |fact: &str| line(probe, &format!("/sys/class/net/{name}/{fact}"));
        let flags = fact("flags").and_then(|flags| u32::from_str_radix(flags.trim_start_matches("0x"), 16).ok());
        let own =
            four.iter().filter_map(|address| place(*address, &routes)).filter(|(interface, _)| *interface == name);
        let six = six.iter().filter(|(interface, _)| *interface == name).map(|(_, address)| address.clone());
        Interface {
            mac: fact("address").filter(|mac| is_mac(mac)),
            mtu: fact("mtu").and_then(|mtu| mtu.parse().ok()),
            up: flags.is_some_and(|flags| flags & 1 == 1),
            addresses: own.map(|(_, address)| address).chain(six).collect(),
            name,
        }
    };
    names.into_iter().map(interface).collect()
}

/// The interface whose network an address lies in, and the address with that network's prefix length.
fn place(address: Ipv4Addr, routes: &[Route]) -> Option<(String, String)> {
    if address.is_loopback() {
        return Some(("lo".to_owned(), format!("{address}/8")));
    }
    let here = |route: &&Route| {
        let mask = route.mask.to_bits();
        route.gateway.is_unspecified() && mask != 0 && address.to_bits() & mask == route.to.to_bits()
    };
    let route = routes.iter().filter(here).max_by_key(|route| route.mask.to_bits())?;
    Some((route.interface.clone(), format!("{address}/{}", route.mask.to_bits().leading_ones())))
}

/// Reads `/proc/net/route`, in which addresses are numbers in the machine's own byte order.
fn routes(text: &str) -> Vec<Route> {
    let address = |hex: &str| u32::from_str_radix(hex, 16).ok().map(|number| Ipv4Addr::from(number.to_ne_bytes()));
    let read = |line: &str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let [interface, to, gateway, _flags, _refs, _use, metric, mask, ..] = fields[..] else { return None };
        Some(Route {
            interface: interface.to_owned(),
            to: address(to)?,
            mask: address(mask)?,
            gateway: address(gateway)?,
            metric: metric.parse().ok()?,
        })
    };
    text.lines().filter_map(read).collect()
}

/// The host's own addresses in `/proc/net/fib_trie`.
fn local_ipv4(text: &str) -> Vec<Ipv4Addr> {
    let mut found: Vec<Ipv4Addr> = Vec::new();
    let mut last = None;
    for line in text.lines().map(str::trim) {
        if let Some(address) = line.strip_prefix("|-- ") {
            last = address.parse().ok();
        } else if line == "/32 host LOCAL"
            && let Some(address) = last.filter(|address| !found.contains(address))
        {
            found.push(address);
        }
    }
    found
}

/// Interfaces and addresses in `/proc/net/if_inet6`.
fn ipv6(text: &str) -> Vec<(String, String)> {
    let read = |line: &str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let [address, _index, prefix, _scope, _flags, interface] = fields[..] else { return None };
        let address = Ipv6Addr::from_bits(u128::from_str_radix(address, 16).ok()?);
        Some((interface.to_owned(), format!("{address}/{}", u8::from_str_radix(prefix, 16).ok()?)))
    };
    text.lines().filter_map(read).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROUTES: &str = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n\
        eth0\t00000000\t010200C0\t0003\t0\t0\t100\t00000000\t0\t0\t0\nmklab0\t00004D0A\t00000000\t0001\t0\t0\t0\tFCFFFFFF\t0\t0\t0\n\
        mklab0\t00004D0A\t02004D0A\t0003\t0\t0\t0\t0000FFFF\t0\t0\t0\neth0\t000200C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n";
    const TRIE: &str = "Main:\n  +-- 0.0.0.0/0 3 0 5\n     |-- 0.0.0.0\n        /0 universe UNICAST\n           |-- 10.77.0.1\n\
        \x20             /32 host LOCAL\n           |-- 10.77.0.3\n              /32 link BROADCAST\n           |-- 192.0.2.2\n\
        \x20             /32 host LOCAL\n        |-- 127.0.0.1\n              /32 host LOCAL\nLocal:\n           |-- 192.0.2.2\n              /32 host LOCAL\n";

    #[test]
    fn what_ip_prints_is_read() {
        let text = r#"[{"ifindex":1,"ifname":"lo","flags":["LOOPBACK","UP","LOWER_UP"],"mtu":65536,"operstate":"UNKNOWN",
            "address":"00:00:00:00:00:00","addr_info":[{"family":"inet","local":"127.0.0.1","prefixlen":8,"scope":"host"}]},
            {"ifname":"tun0","flags":["POINTOPOINT"],"mtu":1280,"address":"192.0.2.1","addr_info":[{"family":"inet6","local":"fd00::2","prefixlen":64}]},
            {"ifname":"eth0","flags":["UP"],"mtu":1400,"address":"02:fc:00:00:00:01","addr_info":[]}]"#;
        let read = from_ip(text).unwrap();
        let lo = Interface {
            name: "lo".into(),
            mac: None,
            mtu: Some(65536),
            up: true,
            addresses: vec!["127.0.0.1/8".into()],
        };
        assert_eq!(read[0], lo);
        assert_eq!(
            (read[1].up, read[1].mac.as_deref(), read[1].addresses.as_slice()),
            (false, None, &["fd00::2/64".to_owned()][..])
        );
        assert_eq!(read[2].mac.as_deref(), Some("02:fc:00:00:00:01"));
        assert_eq!(from_ip("Usage: ip"), None);
    }

    #[test]
    fn the_kernels_tables_tell_the_same() {
        let routes = routes(ROUTES);
        assert_eq!(routes.len(), 4);
        assert_eq!((routes[0].gateway, routes[0].metric), (Ipv4Addr::new(192, 0, 2, 1), 100));
        let own: Vec<(String, String)> =
            local_ipv4(TRIE).into_iter().filter_map(|address| place(address, &routes)).collect();
        let expected = [("mklab0", "10.77.0.1/30"), ("eth0", "192.0.2.2/24"), ("lo", "127.0.0.1/8")];
        assert_eq!(own, expected.map(|(interface, address)| (interface.to_owned(), address.to_owned())));
    }

    #[test]
    fn addresses_of_version_six_are_read() {
        let text = "00000000000000000000000000000001 01 80 10 80       lo\nfd000000000000000000000000000002 04 40 00 82     eth0\n";
        let expected = [("lo", "::1/128"), ("eth0", "fd00::2/64")];
        assert_eq!(ipv6(text), expected.map(|(interface, address)| (interface.to_owned(), address.to_owned())));
    }
}
