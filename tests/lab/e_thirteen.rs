//! Kubernetes on the lab of thirteen: built, put through its drills, and as it was built afterwards.

use crate::support::run;

#[test]
fn a_cluster_on_thirteen_hosts_outlives_the_drills_and_is_as_it_was_afterwards() {
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
    let built = run(&["--resume", "playbooks/all.rhai"]);
    assert_eq!(built.code, 0, "{}", built.all);
    let replace = "playbooks/replace-etcd-member.rhai";
    let asked = run(&["-e", "member=controller-2", replace]);
    assert_eq!(asked.code, 1, "{}", asked.all);
    assert!(asked.all.contains("the data of etcd on controller-2 would be removed; say so with `-e confirm=lab`"));
    assert_eq!(asked.changes(), vec![], "{}", asked.all);
    let confirmed = ["-e", "member=controller-2", "-e", "confirm=lab", replace];
    let lost = "on(\"controller-2\", |host| { host.run([\"systemctl\", \"kill\", \"--signal=KILL\", \"etcd\"]); host.dir(\"/var/lib/etcd/member\", #{ state: \"absent\" }); });";
    assert_eq!(crate::support::script(lost, &[]).code, 0);
    let replaced = run(&confirmed);
    assert_eq!(replaced.code, 0, "{}", replaced.all);
    assert!(replaced.all.contains("etcd is healthy, led by"), "{}", replaced.all);
    for lab in ["07-etcd", "08-control-plane"] {
        let again = run(&[&format!("playbooks/{lab}.rhai")]);
        assert_eq!((again.code, again.changes()), (0, vec![]), "lab {lab}: {}", again.all);
    }
}
