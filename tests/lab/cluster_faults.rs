//! What goes wrong while a cluster is built, on the small lab: who is told what, and what the next run makes of it.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::kubernetes::{CONFIRMED, VERIFY, built, taken_away, well};
use crate::needs;
use crate::support::{root, run_small, run_with, script_small, small};

const WORKERS: &str = "playbooks/09-bootstrapping-workers.rhai";

#[test]
fn a_worker_that_is_down_from_the_start_costs_only_itself_and_joins_in_the_next_run() {
    let _turn = needs::small_without_cluster();
    let lab = |verb: &str, host: &str| {
        let done = Command::new("/var/lib/mk/small/bin/lab-host").args([verb, host]).output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    };
    lab("stop", "worker-2");
    let without = small(&["run", "playbooks/all.rhai"]).output().unwrap();
    let nodes = r#"
        import "cluster" as cluster;
        log(host("controller-1").run(cluster::kubectl() + ["get", "nodes", "-o", "name"], #{ reads: true }).stdout);
    "#;
    let left = script_small(nodes);
    lab("start", "worker-2:inet");
    // It boots, and sshd comes late.
    let listens = || std::net::TcpStream::connect("10.78.1.22:22").is_ok();
    assert!(
        (0..600).any(|_| listens() || {
            std::thread::sleep(Duration::from_millis(100));
            false
        }),
        "worker-2 is not back"
    );
    let text = String::from_utf8_lossy(&without.stdout);
    assert_eq!(without.status.code(), Some(4), "{text}");
    let is = |line: &str, words: &[&str]| words.iter().all(|word| line.contains(word));
    for words in [
        &["warning", "worker-2: cannot be reached or looked at; it is left out"][..],
        &["changed", "worker-1", "systemd kubelet"],
        &["passed", "the node port, on every node"],
        // The recap.
        &["worker-2", "failed 1", "out: cannot reach `worker-2` at 10.78.1.22:22"],
    ] {
        assert!(text.lines().any(|line| is(line, words)), "no {words:?}: {text}");
    }
    assert!(!text.contains("FAILED"), "{text}");
    assert!(left.all.contains("node/worker-1") && !left.all.contains("node/worker-2"), "{}", left.all);
    let mended = built();
    assert!(mended.changes().iter().any(|done| done.host == "worker-2" && done.call == "systemd kubelet"));
    assert!(mended.changes().iter().all(|done| done.host != "worker-1"), "{:?}", mended.changes());
    assert_eq!(built().changes(), vec![]);
}

#[test]
fn a_worker_that_cannot_reach_the_api_is_told_with_the_address_and_the_others_go_on() {
    let _turn = needs::small_cluster();
    let rule = |verb: &str| {
        let rule = format!(
            "\"{verb}\", \"OUTPUT\", \"-p\", \"tcp\", \"-d\", \"10.78.1.11\", \"--dport\", \"6443\", \"-j\", \"DROP\""
        );
        well(script_small(&format!("on(\"worker-2\", |host| {{ host.run([\"iptables\", {rule}]); }});")));
    };
    rule("-I");
    let cut = run_small(&["-e", "api_wait=2s", WORKERS]);
    rule("-D");
    assert_eq!(cut.code, 1, "{}", cut.all);
    assert!(
        cut.all.contains("worker-2 does not reach the API at 10.78.1.11:6443 (server.kubernetes.local)"),
        "{}",
        cut.all
    );
    let steps =
        |host: &str| cut.done().iter().filter(|done| done.host == host && done.call == "systemd kube-proxy").count();
    assert_eq!((steps("worker-1"), steps("worker-2")), (1, 0), "{}", cut.all);
    assert_eq!(well(run_small(&[WORKERS])).changes(), vec![]);
}

#[test]
fn certificates_of_another_authority_are_told_and_those_of_a_namesake_stop_the_run_before_anything_is_changed() {
    let _turn = needs::small_cluster();
    well(script_small(
        r#"
            on("worker-1", |host| {
                host.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "90", "-subj", "/CN=elsewhere", "-keyout", "/var/lib/kubelet/kubelet.key", "-out", "/var/lib/kubelet/kubelet.crt"]);
            });
        "#,
    ));
    let told = script_small(VERIFY);
    assert_eq!(told.code, 1, "{}", told.all);
    assert!(told.all.contains("/var/lib/kubelet/kubelet.crt: not signed by /var/lib/kubelet/ca.crt"), "{}", told.all);
    well(run_small(&["playbooks/04-certificate-authority.rhai"]));
    well(script_small(VERIFY));
    well(run_small(&[WORKERS]));
    // A state without these authorities makes others of the same name.
    let empty = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("other-authority");
    let _ = std::fs::remove_dir_all(&empty);
    let output = small(&["run", "--json", "playbooks/04-certificate-authority.rhai"])
        .env("XDG_STATE_HOME", &empty)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{text}");
    for path in ["/etc/etcd/server.crt", "/var/lib/kubelet/kubelet.crt"] {
        assert!(
            text.contains(&format!("`{path}` was issued by another authority that is also called")),
            "{path}: {text}"
        );
    }
    assert!(text.contains("mk's state may have been lost"), "{text}");
    assert!(!text.contains("\"status\":\"changed\""), "{text}");
    assert_eq!(built().changes(), vec![]);
}

#[test]
fn a_disk_that_is_full_while_programs_are_copied_is_told_with_its_space_and_the_next_run_converges() {
    let _turn = needs::small_cluster();
    let shell = |text: &str| well(script_small(&format!("on(\"worker-2\", |host| {{ {text} }});")));
    shell("host.shell(\"mount -t tmpfs -o size=8m tmpfs /opt/cni/bin && echo old > /opt/cni/bin/portmap\");");
    let full = run_small(&[WORKERS]);
    let whole = script_small(
        r#"
            on("worker-2", |host| {
                let found = host.shell("cd /opt/cni/bin; cat portmap; ls -A | grep -v -x -e bridge -e host-local -e loopback -e portmap; for f in bridge host-local loopback; do [ ! -e $f ] || ./$f </dev/null 2>&1 | grep -o 'CNI .* plugin'; done", #{ reads: true, ok: [] }).stdout;
                log(`there: ${found}`);
            });
        "#,
    );
    shell("host.shell(\"mount -o remount,size=64m /opt/cni/bin\");");
    let next = run_small(&[WORKERS]);
    let again = run_small(&[WORKERS]);
    shell("host.shell(\"umount /opt/cni/bin\");");
    assert_eq!(full.code, 1, "{}", full.all);
    assert!(full.all.contains("No space left on device"), "{}", full.all);
    assert!(full.all.contains("KiB were free on its file system of 8192 KiB"), "{}", full.all);
    assert!(
        full.done().iter().any(|done| done.host == "worker-1" && done.call == "systemd kube-proxy"),
        "{}",
        full.all
    );
    assert!(whole.all.contains("\"text\":\"there: old\\nCNI bridge plugin"), "{}", whole.all);
    let unpacked: Vec<_> = well(next).changes().into_iter().map(|done| (done.host, done.call)).collect();
    assert_eq!(unpacked, [("worker-2".to_owned(), "unpack /opt/cni/bin".to_owned())]);
    assert_eq!(well(again).changes(), vec![]);
    assert_eq!(well(run_small(&[WORKERS])).changes(), vec![]);
}

/// Starts a playbook and kills mk when a step begins of which the event holds all these words.
fn killed(playbook: &str, words: &[&str]) {
    let mut run = small(&["run", "--json", "-e", "confirm=small", playbook]).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(run.stdout.take().unwrap()).lines();
    let begun = lines.any(|line| {
        let line = line.unwrap();
        line.contains("step_started") && words.iter().all(|word| line.contains(word))
    });
    assert!(begun, "{playbook}: no step with {words:?}");
    assert!(run.try_wait().unwrap().is_none(), "{playbook} was over before it was killed");
    run.kill().unwrap();
    run.wait().unwrap();
}

#[test]
fn mk_killed_in_the_middle_of_any_lab_is_made_up_for_by_the_next_run() {
    let _turn = needs::small_without_cluster();
    // Labs 01, 02 and 10 have nothing to change here: there is no jumpbox.
    let labs: [(&str, &[&str]); 10] = [
        ("03-compute-resources", &["etc_hosts"]),
        ("04-certificate-authority", &["cert", "/etc/etcd/peer"]),
        ("05-kubeconfigs", &["kube-scheduler.kubeconfig"]),
        ("06-data-encryption-keys", &["encryption-config.yaml"]),
        ("07-etcd", &["systemd", "\"etcd\""]),
        ("08-control-plane", &["systemd", "kube-controller-manager"]),
        ("09-bootstrapping-workers", &["systemd", "\"containerd\""]),
        ("11-pod-network", &["systemd", "pod-network"]),
        ("11b-cluster-dns", &["kubectl", "apply"]),
        ("12-smoke-test", &["mk-smoke-", " get "]),
    ];
    for (lab, words) in labs {
        let playbook = format!("playbooks/{lab}.rhai");
        killed(&playbook, words);
        well(run_small(&[&playbook]));
        assert_eq!(well(run_small(&[&playbook])).changes(), vec![], "lab {lab}");
    }
    killed(CONFIRMED[2], &["file", "/usr/local/bin/kubelet"]);
    taken_away();
    built();
}

#[test]
fn a_worker_comes_and_goes_by_the_inventory_alone() {
    let _turn = needs::small_without_cluster();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("inventory.yml");
    let text = std::fs::read_to_string(root().join("inventories/small/inventory.yml")).unwrap();
    let of = |workers: &str| std::fs::write(&file, text.replace("worker-[1..2]", workers)).unwrap();
    let nodes = || {
        let asked = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("nodes.rhai");
        let script = r#"
            import "cluster" as cluster;
            log(host("controller-1").run(cluster::kubectl() + ["get", "nodes", "-o", "name"], #{ reads: true }).stdout);
        "#;
        std::fs::write(&asked, script).unwrap();
        let told = well(run_with(&file, &[asked.to_str().unwrap()]));
        (told.all.contains("node/worker-1"), told.all.contains("node/worker-2"))
    };
    let made = || well(run_with(&file, &["playbooks/all.rhai"]));
    of("worker-[1..1]");
    made();
    assert_eq!(nodes(), (true, false));
    of("worker-[1..2]");
    made();
    assert_eq!(nodes(), (true, true));
    of("worker-[1..1]");
    let gone = made();
    assert!(gone.all.contains("worker-2 is no longer in the inventory"), "{}", gone.all);
    assert_eq!(nodes(), (true, false));
    assert_eq!(made().changes(), vec![]);
    // Its machine still has what it ran.
    of("worker-[1..2]");
    well(run_with(&file, &CONFIRMED));
    built();
}

#[test]
fn what_does_not_start_or_does_not_answer_is_shown_with_its_last_words() {
    let _turn = needs::small_cluster();
    let shell =
        |text: &str| well(script_small(&format!("on(\"controller-1\", |host| {{ host.shell(\"{text}\"); }});")));
    // It cannot read its key, and falls again and again.
    shell(
        "systemctl stop kube-apiserver etcd && mv /etc/etcd/server.key /etc/etcd/kept && echo none > /etc/etcd/server.key && systemctl start --no-block etcd",
    );
    let healthy = script_small(
        r#"
            import "etcd" as etcd;
            let members = hosts("controllers");
            on(members, |host| {
                etcd::healthy(host, members);
            });
        "#,
    );
    shell("mv /etc/etcd/kept /etc/etcd/server.key; systemctl reset-failed etcd; systemctl start etcd kube-apiserver");
    assert_eq!(healthy.code, 1, "{}", healthy.all);
    let warned = healthy.events.iter().any(|event| {
        let said = &event["event"]["said"];
        said["warning"] == true
            && said["text"].as_str().is_some_and(|text| text.starts_with("etcd:\n") && text.contains("server.key"))
    });
    assert!(warned, "{}", healthy.all);
    // The cluster's own parts need a while to find their API again, so it is not tried at once.
    for lab in ["07-etcd", "08-control-plane"] {
        assert_eq!(well(run_small(&[&format!("playbooks/{lab}.rhai")])).changes(), vec![], "lab {lab}");
    }
}
