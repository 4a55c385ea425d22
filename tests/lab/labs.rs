//! The labs themselves, from bare hosts to a healthy etcd cluster.

use crate::foretold::Figure;
use crate::needs;
use crate::support::{mk, run, script};

const ETCD: &str = "playbooks/07-etcd.rhai";

#[test]
fn a_bare_lab_does_what_a_check_foretells_and_nothing_the_second_time() {
    let _turn = needs::bare();
    let (mut figure, mut second) = (Figure::default(), Figure::default());
    for lab in needs::TO_ETCD {
        let checked = run(&["--check", lab]);
        let applied = run(&[lab]);
        assert_eq!(applied.code, 0, "{lab}: {}", applied.all);
        figure.hold(&checked, &applied);
        let checked = run(&["--check", lab]);
        let again = run(&[lab]);
        assert_eq!((again.code, again.changes()), (0, vec![]), "{lab} again: {}", again.all);
        second.hold(&checked, &again);
    }
    needs::has_etcd();
    figure.print("a check of each lab to etcd, on thirteen hosts that have all before it");
    second.print("the same, when it has been done");
    figure.must_be_good();
    assert_eq!(second.shares(), (100, 1000), "{:?}", second.wrong);
}

#[test]
fn etcd_is_one_cluster_that_speaks_tls_only() {
    let _turn = needs::etcd();
    let text = r#"
import "etcd" as etcd;
let members = hosts("controllers");
log("leader " + etcd::wait_healthy(members));
on(members, |host| {
    let plain = host.run(["curl", "-s", "--max-time", "5", `http://${host.vars.node_ip}:2379/health`], #{ reads: true, ok: [] });
    assert(plain.code != 0 || plain.stdout == "", "a client was answered without TLS");
    let nobody = host.run(["/usr/local/bin/etcdctl", "--command-timeout=3s", "--endpoints", etcd::endpoints([host]), "--cacert", "/etc/etcd/ca.crt", "endpoint", "health"], #{ reads: true, ok: [] });
    assert(nobody.code != 0, "a client without a certificate was answered");
    let peer = host.run(["/usr/local/bin/etcdctl", "--command-timeout=3s", "--endpoints", `https://${host.vars.node_ip}:2380`, "--cacert", "/etc/etcd/ca.crt", "endpoint", "health"], #{ reads: true, ok: [] });
    assert(peer.code != 0, "a peer without a certificate was answered");
    let mode = host.run(["stat", "-c", "%a %U", "/var/lib/etcd"], #{ reads: true }).stdout;
    assert(mode == "700 etcd", `the data folder is ${mode}`);
    let metrics = host.run(["ss", "-Hltn", "sport = :2381"], #{ reads: true }).stdout;
    assert(metrics.contains("127.0.0.1:2381"), "metrics are not on loopback only");
});
"#;
    // Without curl on a controller the first assertion would hold for the wrong reason.
    let installed = script("on(\"controllers\", |host| { host.pkg(\"curl\"); });", &[]);
    assert_eq!(installed.code, 0, "{}", installed.all);
    let held = script(text, &[]);
    assert_eq!(held.code, 0, "{}", held.all);
}

#[test]
fn a_key_written_at_one_member_is_read_at_another() {
    let _turn = needs::etcd();
    let text = r#"
import "etcd" as etcd;
let members = hosts("controllers");
members[0].run(etcd::ctl(members) + ["put", "greeting", "hello"]);
let answers = on(members, |host| {
    let own = etcd::ctl([host]);
    host.run(own + ["get", "greeting", "--print-value-only"], #{ reads: true }).stdout
});
for host in members { assert(answers[host] == "hello", `${host.name} answers ${answers[host]}`); }
"#;
    let held = script(text, &[]);
    assert_eq!(held.code, 0, "{}", held.all);
}

#[test]
fn a_changed_unit_rolls_through_the_members_one_at_a_time() {
    let _turn = needs::etcd();
    let roll = run(&["-e", "etcd_heartbeat=120", ETCD]);
    assert_eq!(roll.code, 0, "{}", roll.all);
    let restarts: Vec<_> = roll.changes().into_iter().filter(|done| done.call.starts_with("systemd ")).collect();
    assert_eq!(restarts.len(), 3, "{restarts:?}");
    let back = run(&[ETCD]);
    assert_eq!(back.code, 0, "{}", back.all);
    assert_eq!(run(&[ETCD]).changes(), vec![]);
}

#[test]
fn a_data_folder_of_another_cluster_is_refused_and_left_alone() {
    let _turn = needs::etcd();
    let refused = run(&["-e", "etcd_token=another", "--limit", "controllers", ETCD]);
    assert_eq!(refused.code, 1, "{}", refused.all);
    assert!(refused.all.contains("holds the data of another cluster"), "{}", refused.all);
    assert_eq!(run(&[ETCD]).changes(), vec![], "the cluster must be as it was");
}

#[test]
fn a_step_with_nothing_to_do_on_all_hosts_is_one_frame_to_each_and_one_back() {
    let _turn = needs::lab();
    let folder = tempfile::tempdir().unwrap();
    let hosts = 13;
    let frames = |steps: &str, how: &[&str]| {
        let playbook = folder.path().join("p.rhai");
        let log = folder.path().join("frames.log");
        std::fs::write(&playbook, format!("on(\"all\", |host| {{ {steps} }});")).unwrap();
        let output = mk(&[&["run", playbook.to_str().unwrap(), "--log", log.to_str().unwrap()], how].concat())
            .env("MK_LOG", "mk::wire=trace")
            .output()
            .unwrap();
        assert!(output.status.success(), "{steps}\n{}", String::from_utf8_lossy(&output.stdout));
        let log = std::fs::read_to_string(&log).unwrap();
        let asked = log.matches("another run has the lock").count();
        (log.matches("frame sent").count() - asked, log.matches("frame received").count() - asked)
    };
    for step in [
        "host.dir(\"/root\");",
        "host.copy(\"/etc/mk-frames\", #{ content: \"hi\" });",
        "host.systemd(\"ssh\", #{ state: \"started\" });",
        "host.pkg(\"procps\");",
        "host.user(\"root\");",
        "host.run([\"true\"], #{ reads: true });",
    ] {
        frames(step, &[]);
        let more = |how: &[&str]| {
            let ((sent, received), (sent_more, received_more)) = (frames(step, how), frames(&step.repeat(4), how));
            (sent_more - sent, received_more - received)
        };
        assert_eq!(more(&["--one-by-one"]), (3 * hosts, 3 * hosts), "{step}");
        // What nobody looks at travels with the first.
        let there = if step.contains("reads") { 3 * hosts } else { 0 };
        assert_eq!(more(&[]), (there, 3 * hosts), "{step}");
    }
    let cleaned = script("on(\"all\", |host| { host.file(\"/etc/mk-frames\", #{ state: \"absent\" }); });", &[]);
    assert_eq!(cleaned.code, 0, "{}", cleaned.all);
}
