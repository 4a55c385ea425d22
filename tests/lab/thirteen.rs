//! Kubernetes on the lab of thirteen: built, put through its drills, and as it was built afterwards.

use crate::needs;
use crate::support::run;

#[test]
fn a_cluster_on_thirteen_hosts_outlives_the_drills_and_is_as_it_was_afterwards() {
    let _turn = needs::lab();
    let built = run(&["playbooks/all.rhai"]);
    assert_eq!(built.code, 0, "{}", built.all);
    let drilled = run(&["playbooks/12b-drills.rhai"]);
    assert_eq!(drilled.code, 0, "{}", drilled.all);
    for drill in
        ["the API, without controller-2's server", "the loss of controller-3's etcd data", "a reboot of worker-9"]
    {
        assert!(drilled.all.contains(drill), "no `{drill}`: {}", drilled.all);
    }
    let again = run(&["playbooks/all.rhai"]);
    assert_eq!(again.code, 0, "{}", again.all);
    assert_eq!(again.changes(), vec![], "{}", again.all);
}

#[test]
fn a_member_of_etcd_is_replaced_only_when_that_is_confirmed_and_the_others_are_healthy() {
    let _turn = needs::thirteen();
    let replace = "playbooks/replace-etcd-member.rhai";
    let asked = run(&["-e", "member=controller-2", replace]);
    assert_eq!(asked.code, 1, "{}", asked.all);
    assert!(asked.all.contains("the data of etcd on controller-2 would be removed; say so with `-e confirm=lab`"));
    assert_eq!(asked.changes(), vec![], "{}", asked.all);
    let confirmed = ["-e", "member=controller-2", "-e", "confirm=lab", replace];
    let lost = r#"
        on("controller-2", |host| {
            host.run(["systemctl", "kill", "--signal=KILL", "etcd"]);
            host.dir("/var/lib/etcd/member", #{ state: "absent" });
        });
    "#;
    assert_eq!(crate::support::script(lost, &[]).code, 0);
    let replaced = run(&confirmed);
    assert_eq!(replaced.code, 0, "{}", replaced.all);
    assert!(replaced.all.contains("etcd is healthy, led by"), "{}", replaced.all);
    for lab in ["07-etcd", "08-control-plane"] {
        let again = run(&[&format!("playbooks/{lab}.rhai")]);
        assert_eq!((again.code, again.changes()), (0, vec![]), "lab {lab}: {}", again.all);
    }
}

#[test]
fn a_key_to_join_with_that_has_expired_is_told_and_the_next_run_makes_a_new_one() {
    let _turn = needs::thirteen();
    let out = crate::support::script("on(\"worker-9\", |host| { host.run([\"tailscale\", \"logout\"]); });", &[]);
    assert_eq!(out.code, 0, "{}", out.all);
    let overlay = "playbooks/03-compute-resources.rhai";
    let late = run(&["-e", "join_key_life=1ms", overlay]);
    let again = run(&["playbooks/all.rhai"]);
    assert_eq!(late.code, 1, "{}", late.all);
    assert!(
        late.all.contains("worker-9 did not join the overlay: the key to join with has expired; it is good for 1ms, and the next run makes a new one"),
        "{}",
        late.all
    );
    // The others have been looked at all the same.
    assert!(late.all.contains("worker-8: 11 of 11 reached"), "{}", late.all);
    assert_eq!(again.code, 0, "{}", again.all);
    assert!(again.changes().iter().any(|done| done.host == "worker-9" && done.call.starts_with("run tailscale up")));
    let last = run(&["playbooks/all.rhai"]);
    assert_eq!((last.code, last.changes()), (0, vec![]), "{}", last.all);
}
