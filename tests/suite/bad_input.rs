//! Inventories and artifacts that no cluster can be built from: told before anything is touched.

use crate::support::{Place, Ran};

/// Runs a script that uses the library, for hosts that are all this machine. `hosts` is the inventory's text.
fn run(hosts: &str, script: &str, more: &[&str]) -> Ran {
    let place = Place::new();
    place.file("inventory.yml", hosts);
    place.file("p.rhai", script);
    place.mk(&[&["run", "p.rhai", "-i", "inventory.yml"], more].concat())
}

/// An inventory of workers with these pod ranges; one that is empty has none.
fn workers(ranges: &[&str]) -> String {
    let mut text = "groups:\n  workers: { hosts: [all] }\nhosts:\n".replace("[all]", &{
        let names: Vec<String> = (1..=ranges.len()).map(|n| format!("w{n}")).collect();
        format!("[{}]", names.join(", "))
    });
    for (index, range) in ranges.iter().enumerate() {
        let n = index + 1;
        let range = if range.is_empty() { String::new() } else { format!(", pod_cidr: {range}") };
        text += &format!("  w{n}: {{ ways: [local: ], vars: {{ node_ip: 192.0.2.{n}{range} }} }}\n");
    }
    text
}

/// What lab 01 says of workers with these ranges, but that they are one machine.
fn told(ranges: &[&str]) -> String {
    let script = r#"
        import "preflight" as preflight;
        for one in preflight::together(hosts("all"), "10.200.0.0/16", "10.32.0.0/24") {
            log(one);
        }
    "#;
    let ran = run(&workers(ranges), script, &[]);
    assert_eq!(ran.code, 0, "{}{}", ran.stdout, ran.stderr);
    let lines: Vec<&str> = ran.stdout.lines().filter(|line| line.contains("pod")).map(str::trim).collect();
    lines.join("\n")
}

#[test]
fn pod_ranges_that_overlap_or_are_missing_or_outside_are_told() {
    assert_eq!(told(&["10.200.1.0/24", "10.200.2.0/24"]), "");
    assert_eq!(
        told(&["10.200.0.0/23", "10.200.1.0/24"]),
        "the pod ranges of w2 and w1 overlap: 10.200.1.0/24 and 10.200.0.0/23"
    );
    assert_eq!(told(&["10.200.1.0/24", ""]), "w2 has no `pod_cidr`, the range of its pods");
    assert_eq!(
        told(&["10.201.1.0/24", "10.200.2.0/24"]),
        "the pod range of w1, 10.201.1.0/24, is not inside of 10.200.0.0/16"
    );
}

#[test]
fn whether_networks_overlap_is_known_for_any_two() {
    // A generator of its own, so that a failure comes again.
    let mut seed = 0x9e37_79b9_u32;
    let mut next = move || {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        seed >> 8
    };
    let mut script = "import \"net\" as net;\n".to_owned();
    let mut expected = Vec::new();
    for _ in 0..200 {
        // Few bits, so that about half of the pairs meet.
        let mut network = || {
            let bits = 20 + next() % 13;
            let first = 0x0ac8_0000 | ((next() & 0x3fff) & (u32::MAX << (32 - bits)));
            (first, bits, first | u32::MAX.checked_shr(bits).unwrap_or(0))
        };
        let (a, b) = (network(), network());
        let cidr = |(first, bits, _): (u32, u32, u32)| format!("{}/{bits}", std::net::Ipv4Addr::from(first));
        let meet = a.0.max(b.0) <= a.2.min(b.2);
        let inside = b.0 <= a.0 && a.2 <= b.2;
        let (one, other) = (cidr(a), cidr(b));
        script += &format!(
            "log(`{one} {other} ${{net::overlap(\"{one}\", \"{other}\")}} ${{net::overlap(\"{other}\", \"{one}\")}} ${{net::inside(\"{one}\", \"{other}\")}}`);\n"
        );
        expected.push(format!("{one} {other} {meet} {meet} {inside}"));
    }
    let ran = run("hosts: { a: { ways: [local: ] } }", &script, &[]);
    let found: Vec<&str> = ran.stdout.lines().map(str::trim).collect();
    assert_eq!(found, expected, "{}", ran.stderr);
}

#[test]
fn a_network_that_is_none_is_refused_with_the_reason() {
    for (cidr, why) in [
        ("10.200.0.0", "`10.200.0.0` is no network: it needs an address and a length, as in 10.200.0.0/16"),
        ("10.200.0.1/16", "`10.200.0.1/16` does not begin where a network of that length can begin"),
        ("10.200.0/16", "`10.200.0/16` is no network"),
        ("10.200.0.256/32", "`10.200.0.256/32` is no network"),
        ("10.200.0.0/33", "`10.200.0.0/33` is no network"),
    ] {
        let ran = run(
            "hosts: { a: { ways: [local: ] } }",
            &format!(
                r#"
                    import "net" as net;
                    net::span("{cidr}");
                "#
            ),
            &[],
        );
        assert_ne!(ran.code, 0, "{cidr}");
        assert!(ran.stderr.contains(why), "{cidr}: {}", ran.stderr);
    }
}

#[test]
fn an_even_number_of_members_is_warned_of_and_an_odd_one_is_not() {
    let script =
        "import \"preflight\" as preflight;\nfor one in preflight::unwise(hosts(\"controllers\")) { warn(one); }";
    for (count, warned) in [(1, false), (2, true), (3, false), (4, true)] {
        let names: Vec<String> = (1..=count).map(|n| format!("c{n}")).collect();
        let hosts = names.iter().map(|name| format!("  {name}: {{ ways: [local: ] }}\n")).collect::<Vec<_>>().concat();
        let ran = run(
            &format!("groups: {{ controllers: {{ hosts: [{}] }} }}\nhosts:\n{hosts}", names.join(", ")),
            script,
            &[],
        );
        assert_eq!(ran.code, 0, "{}", ran.stderr);
        assert_eq!(ran.stdout.contains("take an odd number"), warned, "{count}: {}", ran.stdout);
    }
}

#[test]
fn a_version_skew_that_is_not_supported_is_refused() {
    let asked = |control_plane: &str, kubelet: &str| {
        let (control_plane, kubelet) =
            (format!("kubernetes_version={control_plane}"), format!("kubelet_version={kubelet}"));
        run(
            "hosts: { a: { ways: [local: ] } }",
            r#"
                import "cluster" as cluster;
                log(cluster::versions().workers);
            "#,
            &["-e", &control_plane, "-e", &kubelet],
        )
    };
    for (control_plane, kubelet) in [("1.32.2", "1.32.12"), ("1.32.2", "1.29.0"), ("1.32.0", "1.31.4")] {
        let ran = asked(control_plane, kubelet);
        assert!(ran.code == 0 && ran.stdout.contains(kubelet), "{control_plane} {kubelet}: {}", ran.stderr);
    }
    for (control_plane, kubelet) in [("1.32.2", "1.28.9"), ("1.32.2", "1.33.0")] {
        let ran = asked(control_plane, kubelet);
        assert_ne!(ran.code, 0, "{control_plane} {kubelet}");
        assert!(
            ran.stderr.contains("they may be up to three minor versions behind, and never ahead"),
            "{}",
            ran.stderr
        );
    }
    for wrong in ["1.32", "2.0.1", "latest"] {
        let ran = asked(wrong, wrong);
        assert_ne!(ran.code, 0, "{wrong}");
        assert!(ran.stderr.contains("is no version of Kubernetes, such as 1.32.12"), "{wrong}: {}", ran.stderr);
    }
}

/// Runs a playbook that unpacks an artifact, in a project with this lock.
fn unpacked(lock: &str, name: &str) -> (Ran, bool) {
    let place = Place::new();
    let target = place.path().join("bin");
    place.file("artifacts.lock.yaml", lock);
    place.file(
        "p.rhai",
        &format!("local().unpack(\"{}\", #{{ artifact: \"{name}\", only: [\"etcd\"] }});", target.display()),
    );
    (place.mk(&["run", "p.rhai"]), target.exists())
}

#[test]
fn an_artifact_that_is_missing_or_has_no_sum_is_refused_before_anything_is_fetched() {
    // Nothing listens there: what tried to fetch would fail in another way.
    let entry = "- {name: etcd, version: 3.6.14, arch: any, url: 'http://127.0.0.1:1/etcd.tar.gz'";
    let (ran, touched) = unpacked(&format!("{entry}, sha256: {}}}\n", "a".repeat(64)), "etdc");
    assert!(!touched && ran.code != 0);
    assert!(ran.stderr.contains("there is no artifact `etdc`") || ran.stdout.contains("there is no artifact `etdc`"));
    assert!(format!("{}{}", ran.stdout, ran.stderr).contains("did you mean `etcd`?"));
    let (ran, touched) = unpacked(&format!("{entry}}}\n"), "etcd");
    let said = format!("{}{}", ran.stdout, ran.stderr);
    assert!(!touched && ran.code != 0);
    assert!(said.contains("sum") && said.contains("artifacts.lock.yaml:1"), "{said}");
    let (ran, touched) = unpacked(&format!("{entry}, sha256: abc}}\n"), "etcd");
    let said = format!("{}{}", ran.stdout, ran.stderr);
    assert!(!touched && ran.code != 0);
    assert!(said.contains("sha256") && said.contains("artifacts.lock.yaml:1"), "{said}");
}
