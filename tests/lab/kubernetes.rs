//! Kubernetes on the small lab: built from nothing, tried, broken, mended and taken away.

use std::path::{Path, PathBuf};

use crate::foretold::Figure;
use crate::needs;
use crate::support::{Run, run_small, script_small, small};

/// The arguments that take the cluster away.
pub(crate) const CONFIRMED: [&str; 3] = ["-e", "confirm=small", "playbooks/13-cleanup.rhai"];

/// A script that looks at the certificates of a worker.
pub(crate) const VERIFY: &str = r#"
    import "pki" as pki;
    on("worker-1", |host| {
        pki::verify(host);
    });
"#;

/// A run that must have ended well.
pub(crate) fn well(run: Run) -> Run {
    assert_eq!(run.code, 0, "{}", run.all);
    run
}

/// The cluster as the playbooks make it, whatever was there before.
pub(crate) fn built() -> Run {
    well(run_small(&["playbooks/all.rhai"]))
}

/// Takes the whole cluster away, and looks that mk knew of everything that it had made.
pub(crate) fn taken_away() {
    for again in [false, true] {
        let run = well(run_small(&CONFIRMED));
        assert!(!run.all.contains("something that mk did not make is in it"), "{}", run.all);
        assert!(!again || run.changes().is_empty(), "{}", run.all);
    }
}

#[test]
fn a_cluster_is_built_from_nothing_and_the_second_run_changes_nothing() {
    let _turn = needs::small_without_cluster();
    // Nothing is there yet of what the later labs stand on.
    let checked = well(run_small(&["--check", "playbooks/all.rhai"]));
    let first = built();
    assert!(!first.changes().is_empty(), "nothing was built: {}", first.all);
    let mut figure = Figure::default();
    figure.hold(&checked, &first);
    figure.print("a check of all labs on three bare hosts");
    figure.must_be_good();
    let second = built();
    assert_eq!(second.changes(), vec![], "{}", second.all);
    let foretold = well(run_small(&["--check", "playbooks/all.rhai"]));
    assert_eq!(foretold.changes(), vec![], "{}", foretold.all);
}

#[test]
fn each_lab_can_be_run_alone_and_for_one_host() {
    let _turn = needs::small_cluster();
    for lab in ["05-kubeconfigs", "08-control-plane", "09-bootstrapping-workers", "11-pod-network", "11b-cluster-dns"] {
        let alone = well(run_small(&[&format!("playbooks/{lab}.rhai")]));
        assert_eq!(alone.changes(), vec![], "lab {lab}: {}", alone.all);
    }
    let one = well(run_small(&["--limit", "worker-1", "playbooks/09-bootstrapping-workers.rhai"]));
    assert!(one.done().iter().all(|done| done.host != "worker-2"), "{}", one.all);
}

#[test]
fn every_check_of_the_smoke_test_is_a_case_of_junit() {
    let _turn = needs::small_cluster();
    let report = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("smoke.xml");
    well(run_small(&["--junit", report.to_str().unwrap(), "playbooks/12-smoke-test.rhai"]));
    let text = std::fs::read_to_string(report).unwrap();
    let checks = [
        "certificates",
        "port-forward",
        "logs of a pod of every node",
        "commands in a pod of every node",
        "the node port, on every node",
        "the largest packet",
    ];
    for check in checks {
        assert!(text.contains(check), "no `{check}` in {text}");
    }
}

#[test]
fn the_cluster_outlives_the_drills() {
    let _turn = needs::small_cluster();
    let drilled = well(run_small(&["playbooks/12b-drills.rhai"]));
    assert!(drilled.all.contains("a reboot of worker-2"), "{}", drilled.all);
    well(run_small(&["playbooks/12-smoke-test.rhai"]));
}

#[test]
fn only_what_changed_is_restarted() {
    let _turn = needs::small_cluster();
    let changed = well(run_small(&["-e", "max_pods=100", "playbooks/09-bootstrapping-workers.rhai"]));
    let restarted: Vec<_> = changed.changes().into_iter().filter(|done| done.call.starts_with("systemd ")).collect();
    assert_eq!(restarted.len(), 2, "{restarted:?}");
    assert!(restarted.iter().all(|done| done.call == "systemd kubelet"), "{restarted:?}");
    well(run_small(&["playbooks/09-bootstrapping-workers.rhai"]));
}

#[test]
fn a_cni_configuration_that_changes_or_comes_back_restarts_containerd_once() {
    let _turn = needs::small_cluster();
    let lab = "playbooks/09-bootstrapping-workers.rhai";
    let restarted = |args: &[&str]| {
        let calls = well(run_small(args)).changes().into_iter().map(|done| done.call);
        calls.filter(|call| !call.starts_with("template ")).collect::<Vec<_>>()
    };
    assert_eq!(restarted(&["-e", "pod_mtu=1400", lab]), ["systemd containerd"; 2]);
    assert_eq!(restarted(&[lab]), ["systemd containerd"; 2]);
    assert_eq!(well(run_small(&[lab])).changes(), vec![]);
    // The file that comes back is the input that it was.
    well(script_small("on(\"workers\", |host| { host.run([\"rm\", \"/etc/cni/net.d/10-bridge.conflist\"]); });"));
    assert_eq!(restarted(&[lab]), ["service containerd"; 2]);
    assert_eq!(well(run_small(&[lab])).changes(), vec![]);
}

#[test]
fn what_is_wrong_with_a_certificate_is_told() {
    let _turn = needs::small_cluster();
    well(script_small(VERIFY));
    let broken = script_small(
        r#"
            on("worker-1", |host| {
                host.run(["cp", "-a", "/var/lib/kubelet/kubelet.key", "/root/kept.key"]);
                host.run(["openssl", "ecparam", "-genkey", "-name", "prime256v1", "-out", "/var/lib/kubelet/kubelet.key"]);
                host.run(["chmod", "644", "/var/lib/kubelet/kubelet.key"]);
            });
        "#,
    );
    let told = script_small(VERIFY);
    let mended = script_small(
        "on(\"worker-1\", |host| { host.run([\"mv\", \"/root/kept.key\", \"/var/lib/kubelet/kubelet.key\"]); });",
    );
    assert_eq!((broken.code, mended.code), (0, 0), "{}{}", broken.all, mended.all);
    assert_eq!(told.code, 1, "{}", told.all);
    assert!(told.all.contains("does not belong to the certificate"), "{}", told.all);
    assert!(told.all.contains("mode 644, not 600"), "{}", told.all);
    well(script_small(VERIFY));
}

#[test]
fn a_lost_encryption_key_is_not_replaced_while_there_is_data() {
    let _turn = needs::small_cluster();
    let copy = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("lost");
    let _ = std::fs::remove_dir_all(&copy);
    let state = std::env::var_os("XDG_STATE_HOME")
        .map_or_else(|| PathBuf::from(std::env::var_os("HOME").unwrap()).join(".local/state"), PathBuf::from);
    let lost = copied(&state.join("mk"), &copy.join("mk"));
    assert!(!lost.is_empty(), "mk's state has no encryption key to lose");
    for key in lost {
        std::fs::remove_file(key).unwrap();
    }
    let output =
        small(&["run", "playbooks/06-data-encryption-keys.rhai"]).env("XDG_STATE_HOME", &copy).output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("the encryption key key") && text.contains(" is not in mk's state"), "{text}");
    assert_eq!(well(run_small(&["playbooks/06-data-encryption-keys.rhai"])).changes(), vec![]);
}

/// Copies a folder, and says where the copies of encryption keys are.
fn copied(from: &Path, to: &Path) -> Vec<PathBuf> {
    use std::os::unix::fs::DirBuilderExt as _;
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(to).unwrap();
    let mut keys = Vec::new();
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            keys.extend(copied(&path, &target));
            continue;
        }
        std::fs::copy(&path, &target).unwrap();
        // Which of them is in use depends on how often it was rotated.
        let shown = target.to_string_lossy();
        if shown.contains("shared/encryption-key") && shown.ends_with(".secret") {
            keys.push(target);
        }
    }
    keys
}

#[test]
fn the_encryption_key_is_rotated_and_old_secrets_stay_readable() {
    let _turn = needs::small_cluster();
    let make = r#"
        import "cluster" as cluster;
        host("controller-1").run(cluster::kubectl() + ["create", "secret", "generic", "old", "--from-literal=a=b"]);
    "#;
    well(script_small(make));
    well(run_small(&["playbooks/rotate-encryption-key.rhai"]));
    let read = well(script_small(
        r#"
            import "cluster" as cluster;
            import "smoke" as smoke;
            let host = host("controller-1");
            log("value " + host.run(cluster::kubectl() + ["get", "secret", "old", "-o", "jsonpath={.data.a}"], #{ reads: true }).stdout);
            log("stored " + smoke::script(host, "stored.sh", ["/registry/secrets/default/old"]));
            host.run(cluster::kubectl() + ["delete", "secret", "old"]);
        "#,
    ));
    assert!(read.all.contains("value Yg=="), "{}", read.all);
    assert!(read.all.contains("stored k8s:enc:secretbox:v1:key"), "{}", read.all);
    assert!(
        !read.all.contains("stored k8s:enc:secretbox:v1:key1"),
        "it is still written with the old key: {}",
        read.all
    );
    assert_eq!(built().changes(), vec![]);
}

#[test]
fn a_worker_is_taken_out_and_joins_again() {
    let _turn = needs::small_cluster();
    well(run_small(&["-e", "nodes=worker-2", "-e", "confirm=small", "playbooks/13-cleanup.rhai"]));
    let nodes = r#"
        import "cluster" as cluster;
        log(host("controller-1").run(cluster::kubectl() + ["get", "nodes", "-o", "name"], #{ reads: true }).stdout);
    "#;
    let left = well(script_small(nodes));
    assert!(left.all.contains("node/worker-1") && !left.all.contains("node/worker-2"), "{}", left.all);
    built();
    assert!(well(script_small(nodes)).all.contains("node/worker-2"));
}

#[test]
fn cleanup_says_what_will_be_lost_and_takes_it_all() {
    let _turn = needs::small_cluster();
    let asked = run_small(&["playbooks/13-cleanup.rhai"]);
    assert_eq!(asked.code, 1, "{}", asked.all);
    assert!(asked.all.contains("-e confirm=small"), "{}", asked.all);
    assert_eq!(asked.changes(), vec![]);
    taken_away();
    let rest = well(script_small(
        r#"
            on("all", |host| {
                let names = "-name '*kube*' -o -name '*etcd*' -o -name '*containerd*' -o -name '*.kubeconfig' -o -name 'pod-network*'";
                let found = host.shell(`find /etc /usr/local /opt /root /var/lib -newer /etc/machine-id -type f "(" ${names} ")" | head -20`, #{ reads: true }).stdout;
                assert(found == "", `left behind: ${found}`);
            });
        "#,
    ));
    drop(rest);
    // What others find is a cluster.
    built();
}

#[test]
fn policies_are_enforced_where_that_is_chosen_and_nothing_stays_of_it() {
    let _turn = needs::small_cluster();
    let chosen = ["-e", "network_policy=kube-router"];
    let lab = |chosen: [&str; 2], lab: &str| well(run_small(&[chosen[0], chosen[1], &format!("playbooks/{lab}.rhai")]));
    lab(chosen, "11c-network-policy");
    assert_eq!(lab(chosen, "11c-network-policy").changes(), vec![]);
    let tried = lab(chosen, "12-smoke-test");
    assert!(tried.all.contains("policies are enforced on every node"), "{}", tried.all);
    let none = ["-e", "network_policy=none"];
    lab(none, "11c-network-policy");
    assert_eq!(lab(none, "11c-network-policy").changes(), vec![]);
    let left = script_small(
        r#"
            on("workers", |host| {
                let left = host.run(["sh", "-c", "iptables-save; ipset list -n"], #{ reads: true }).stdout;
                for word in ["KUBE-ROUTER", "KUBE-POD-FW", "KUBE-NWPLCY", "KUBE-SRC", "KUBE-DST"] {
                    assert(!left.contains(word), left);
                }
            });
        "#,
    );
    assert_eq!(left.code, 0, "{}", left.all);
}

#[test]
fn workers_join_by_token_and_nothing_of_it_stays_valid() {
    let _turn = needs::small_without_cluster();
    let by_token = ["-e", "join=token", "playbooks/all.rhai"];
    well(run_small(&by_token));
    assert_eq!(well(run_small(&by_token)).changes(), vec![]);
    let held = script_small(
        r#"
            import "cluster" as cluster;
            on("workers", |host| {
                let key = host.run(["test", "-e", "/var/lib/kubelet/kubelet.key"], #{ reads: true, ok: [0, 1] });
                assert(key.code == 1, "it has a key made for it");
            });
            on("controllers", |host| {
                let tokens = host.run(cluster::kubectl() + ["get", "secrets", "-A", "--field-selector=type=bootstrap.kubernetes.io/token", "-o", "name"], #{ reads: true }).stdout;
                assert(tokens == "", `still good: ${tokens}`);
            });
        "#,
    );
    assert_eq!(held.code, 0, "{}", held.all);
    well(run_small(&CONFIRMED));
    built();
}

#[test]
fn pods_pull_from_the_registry_that_mk_makes_and_nobody_can_push_to_it() {
    let _turn = needs::small_without_cluster();
    let by_registry = ["-e", "images=registry", "playbooks/all.rhai"];
    well(run_small(&by_registry));
    assert_eq!(well(run_small(&by_registry)).changes(), vec![]);
    let seen = script_small(
        r#"
            import "registry" as registry;
            let url = registry::url();
            let keeper = registry::keeper();
            on("workers", |host| {
                let copied = host.run(["test", "-e", "/var/lib/mk-images.tar"], #{ reads: true, ok: [0, 1] });
                assert(copied.code == 1, "it was given the images");
                for image in ["pause", "coredns", "toolbox"] {
                    let layers = `^${host.vars.node_ip} .*GET /v2/${image}/blobs/sha256:.* 200 .*containerd`;
                    keeper.run(["sh", "-c", "journalctl -u registry -o cat --no-pager | grep -q \"$0\"", layers], #{ reads: true });
                }
            });
            let push = keeper.run(["curl", "-s", "--cacert", "/etc/registry/ca.crt", "-X", "POST", "-w", " %{http_code}", url + "/v2/pause/blobs/uploads/"], #{ reads: true });
            log("push: " + push.stdout);
            on(keeper, |host| {
                registry::remove(host);
            });
        "#,
    );
    well(run_small(&CONFIRMED));
    built();
    assert_eq!(seen.code, 0, "{}", seen.all);
    assert!(seen.all.contains("push: Method not allowed\\n 405"), "{}", seen.all);
}
