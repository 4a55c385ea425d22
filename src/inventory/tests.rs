//! The inventory as a whole: every class of fault with its exact words, and the inventory that mk ships.

use std::path::Path;

use crate::error::Kind;
use crate::trust::Guard;

use super::testing::{complaint, line, load, load_files, names};
use super::{Extras, Inventory, SshWay, Way};

fn complaint_of(files: &[(&str, &[u8])]) -> String {
    line(&load_files(files, &Extras::default()).unwrap_err())
}

#[test]
fn a_fault_is_the_inventorys() {
    assert_eq!(load("x: 1").unwrap_err().kind(), Kind::Inventory);
}

#[test]
fn a_place_that_holds_no_inventory_is_refused() {
    let load = |path: &str| line(&Inventory::load(Path::new(path), &Extras::default(), &Guard::default()).unwrap_err());
    assert_eq!(load("/nowhere/x"), "there is no inventory at `/nowhere/x`");
    assert_eq!(complaint_of(&[("other.yml", b"")]), "the folder `.` has no `inventory.yml`");
}

#[test]
fn an_unreadable_file_is_refused() {
    let message = complaint_of(&[("inventory.yml/x", b"")]);
    assert_eq!(message, "inventory.yml: cannot read `inventory.yml`: Is a directory (os error 21)");
    let message = complaint_of(&[("inventory.yml", b""), ("group_vars", b"")]);
    assert_eq!(message, "group_vars: cannot read `group_vars`: Not a directory (os error 20)");
}

#[test]
fn what_is_not_utf8_or_not_yaml_is_refused() {
    assert_eq!(complaint_of(&[("inventory.yml", b"hosts:\n  \xff: {}\n")]), "inventory.yml:2:3: the file is not UTF-8");
    assert_eq!(complaint("hosts: ["), "inventory.yml:1:8: the YAML cannot be read: unclosed bracket '['");
    assert_eq!(complaint("hosts: { a: }\nhosts: { b: }"), "inventory.yml:2:1: `hosts` is given twice");
    assert_eq!(complaint("hosts:\n  a: { vars: { x: 1, x: 2 } }"), "inventory.yml:2:22: `x` is given twice");
    assert_eq!(
        complaint("groups: { g: { hosts: [*all] } }"),
        "inventory.yml:1:24: this alias names nothing (text that begins with `*` must be quoted)"
    );
}

#[test]
fn unknown_keys_are_refused_wherever_they_are() {
    assert_eq!(
        complaint("host:\n  a: {}\n"),
        "inventory.yml:1:1: unknown key `host` in the inventory, expected one of `vars`, `defaults`, `groups`, \
         `hosts` (did you mean `hosts`?)"
    );
    assert_eq!(
        complaint("defaults: { user: x }"),
        "inventory.yml:1:13: unknown key `user` in `defaults`, expected one of `become`, `ways`"
    );
    assert_eq!(
        complaint("groups: { a: { host: [] } }"),
        "inventory.yml:1:16: unknown key `host` in the group `a`, expected one of `hosts`, `children`, `vars` \
         (did you mean `hosts`?)"
    );
    assert_eq!(
        complaint("hosts:\n  \"a-[1..2]\": { var: {} }"),
        "inventory.yml:2:17: unknown key `var` in the host `a-[1..2]`, expected one of `become`, `ways`, `vars` \
         (did you mean `vars`?)"
    );
    assert_eq!(
        complaint("hosts: { a: { ways: [{ shs: {} }] } }"),
        "inventory.yml:1:24: unknown key `shs` in a way, expected one of `local`, `ssh` (did you mean `ssh`?)"
    );
    assert_eq!(
        complaint("hosts: { a: { ways: [{ ssh: { adress: x } }] } }"),
        "inventory.yml:1:31: unknown key `adress` in `ssh`, expected one of `address`, `port`, `user`, `keys`, \
         `host_keys`, `known_hosts`, `jump`, `proxy`, `connect_attempts` (did you mean `address`?)"
    );
    assert_eq!(
        complaint("hosts: { a: { ways: [{ local: { x: 1 } }] } }"),
        "inventory.yml:1:33: unknown key `x` in `local`, which has none"
    );
}

#[test]
fn wrong_types_are_refused() {
    for (text, message) in [
        ("[]", "1:1: the inventory must be a map, not a list"),
        ("vars: 3", "1:7: `vars` must be a map, not a number"),
        ("defaults: x", "1:11: `defaults` must be a map, not text"),
        ("hosts: [a]", "1:8: `hosts` must be a map, not a list"),
        ("groups: true", "1:9: `groups` must be a map, not a boolean"),
        ("groups: { a: [b] }", "1:14: the group `a` must be a map, not a list"),
        ("groups: { a: { hosts: { b: } } }", "1:23: the `hosts` of the group `a` must be a list, not a map"),
        ("groups: { a: { hosts: [1] } }", "1:24: each of the `hosts` of the group `a` must be text, not a number"),
        ("groups: { a: { vars: x } }", "1:22: the `vars` of the group `a` must be a map, not text"),
        ("hosts: { a: x }", "1:13: the host `a` must be a map, not text"),
        ("hosts: { a: { vars: [] } }", "1:21: the `vars` of the host `a` must be a map, not a list"),
        ("hosts: { a: { become: 0 } }", "1:23: `become` must be text, not a number"),
        ("hosts: { a: { become: '' } }", "1:23: `become` is empty"),
        ("hosts: { a: { ways: { ssh: {} } } }", "1:21: `ways` must be a list, not a map"),
        ("hosts: { a: { ways: [ssh] } }", "1:22: a way must be a map, not text"),
        ("hosts: { a: { ways: [{ ssh: { address: 10.1 } }] } }", "1:40: `address` must be text, not a number"),
        ("hosts: { a: { ways: [{ ssh: { keys: ~/x } }] } }", "1:37: `keys` must be a list, not text"),
        ("hosts: { a: { ways: [{ ssh: { port: 65536 } }] } }", "1:37: `port` must be a number from 1 to 65535"),
        ("hosts: { a: { ways: [{ ssh: { port: 0 } }] } }", "1:37: `port` must be a number from 1 to 65535"),
    ] {
        assert_eq!(complaint(text), format!("inventory.yml:{message}"));
    }
}

#[test]
fn a_host_given_twice_is_refused() {
    assert_eq!(
        complaint("hosts:\n  w-[1..3]:\n  x:\n  w-[3..4]:\n"),
        "inventory.yml:4:3: the host `w-3` is given twice (it is also given at line 2)"
    );
}

#[test]
fn ranges_that_stand_for_nothing_or_too_much_are_refused() {
    assert_eq!(
        complaint("hosts: { 'w-[3..1]': }"),
        "inventory.yml:1:10: the range `[3..1]` is empty: it ends before it begins"
    );
    assert_eq!(
        complaint("hosts: { 'w-[1..]': }"),
        "inventory.yml:1:10: `[1..]` is not a range: write `[1..9]`, `[01..13]` or `[a..c]`"
    );
    assert_eq!(complaint("hosts: { 'w-[1': }"), "inventory.yml:1:10: `w-[1` has a bracket without its partner");
    assert_eq!(
        complaint("hosts: { a: , 'w-[1..99999]': , 'x-[1..9]': }"),
        "inventory.yml:1:33: with `x-[1..9]` there are more than 100000 hosts"
    );
    assert_eq!(
        complaint("groups: { g: { hosts: ['w-[0..18446744073709551615]'] } }"),
        "inventory.yml:1:24: with `w-[0..18446744073709551615]` there are more than 100000 hosts"
    );
}

#[test]
fn names_that_could_be_taken_for_something_else_are_refused() {
    let rule = "(names are letters, digits, `-`, `_` and `.`, and begin with a letter, a digit or `_`)";
    for name in ["a b", "a:b", "a/b", "-a", "..", "a*", "", "a\u{a0}", "a@b"] {
        let text = format!("hosts: {{ {}: }}", serde_json::to_string(name).unwrap());
        let message = complaint(&text);
        assert_eq!(message, format!("inventory.yml:1:10: `{name}` cannot be the name of a host {rule}"));
    }
    assert_eq!(complaint("hosts: { all: }"), "inventory.yml:1:10: `all` is reserved: mk itself makes that group");
    assert_eq!(
        complaint("groups: { all: { vars: {} } }"),
        "inventory.yml:1:11: `all` is reserved: mk itself makes that group \
         (variables for every host go under the top-level `vars`)"
    );
    assert_eq!(
        complaint("groups: { ungrouped: }"),
        "inventory.yml:1:11: `ungrouped` is reserved: mk itself makes that group"
    );
    assert_eq!(
        complaint("hosts: { a: }\ngroups: { a: }"),
        "inventory.yml:2:11: `a` is the name of a group and of a host"
    );
    assert!(complaint(&format!("hosts: {{ {}: }}", "a".repeat(241))).ends_with("is longer than 240 bytes"));
}

#[test]
fn a_file_of_variables_for_nothing_is_refused() {
    let inventory = ("inventory.yml", b"hosts: { web-1: }\ngroups: { webs: { hosts: [web-1] } }".as_slice());
    assert_eq!(
        complaint_of(&[inventory, ("group_vars/wbes.yml", b"")]),
        "group_vars/wbes.yml: `group_vars/wbes.yml` is for the group `wbes`, which is not in the inventory \
         (did you mean `webs`?)"
    );
    assert_eq!(
        complaint_of(&[inventory, ("host_vars/wbe-1.yml", b"")]),
        "host_vars/wbe-1.yml: `host_vars/wbe-1.yml` is for the host `wbe-1`, which is not in the inventory \
         (did you mean `web-1`?)"
    );
    assert_eq!(
        complaint_of(&[inventory, ("group_vars/webs.yaml", b"")]),
        "group_vars/webs.yaml: `group_vars/webs.yaml` would not be read (name the file `webs.yml`)"
    );
    assert_eq!(
        complaint_of(&[inventory, ("host_vars/web-1.yml", b"- a")]),
        "host_vars/web-1.yml:1:1: a file of variables must be a map, not a list"
    );
    let untouched: &[(&str, &[u8])] =
        &[inventory, ("group_vars/.webs.yml.swp", b""), ("group_vars/README.md", b""), ("host_vars/web-1.yml~", b"")];
    assert!(load_files(untouched, &Extras::default()).is_ok());
}

#[test]
fn an_empty_inventory_has_no_hosts() {
    for text in ["", "hosts:\ngroups:\nvars:\n", "{}"] {
        let inventory = load(text).unwrap();
        assert_eq!((inventory.hosts().len(), inventory.groups().len()), (0, 2));
        assert_eq!(names(&inventory, "all"), [""; 0]);
    }
}

#[test]
fn a_file_alone_is_an_inventory_too() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("hosts.yml");
    std::fs::write(&file, "hosts: { a: }").unwrap();
    let inventory = Inventory::load(&file, &Extras::default(), &Guard::default()).unwrap();
    assert_eq!((names(&inventory, "all"), inventory.file()), (vec!["a"], file.as_path()));
}

#[test]
fn the_largest_inventory_loads() {
    let text =
        "hosts: { 'w-[000001..100000]': { vars: { ip: '10.{n}' } } }\ngroups: { g: { hosts: ['w-[000001..100000]'] } }";
    let inventory = load(text).unwrap();
    assert_eq!(names(&inventory, "g[-1]"), ["w-100000"]);
    assert_eq!(inventory.vars("w-000042").unwrap()["ip"], "10.000042");
}

#[test]
fn an_inventory_is_shown_as_data() {
    let inventory = load(
        "vars: { v: 1 }\ngroups: { g: { hosts: [a] } }\nhosts:\n  a: { become: root, ways: [ local: {} ] }\n  b:\n",
    );
    assert_eq!(
        inventory.unwrap().to_json(),
        serde_json::json!({
            "hosts": {
                "a": { "groups": ["g"], "become": "root", "ways": [{ "local": {} }], "vars": { "v": 1 } },
                "b": { "groups": ["ungrouped"], "become": null, "ways": [{ "ssh": {} }], "vars": { "v": 1 } },
            },
            "groups": {
                "all": { "hosts": ["a", "b"], "children": ["ungrouped", "g"] },
                "ungrouped": { "hosts": ["b"], "children": [] },
                "g": { "hosts": ["a"], "children": [] },
            },
        })
    );
}

#[test]
fn the_iximiuz_inventory_answers() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("inventories/iximiuz");
    let inventory = Inventory::load(&path, &Extras::default(), &Guard::default()).unwrap();
    assert_eq!(inventory.hosts().len(), 13);
    assert_eq!(names(&inventory, "controllers"), ["controller-1", "controller-2", "controller-3"]);
    assert_eq!(names(&inventory, "workers:!b:!worker-[8..9]"), ["worker-1", "worker-2", "worker-3", "worker-7"]);
    assert_eq!(names(&inventory, "jump,workers[-1]"), ["jumpbox", "worker-9"]);
    assert_eq!(inventory.host("worker-4").unwrap().groups, ["b", "workers"]);
    for (number, host) in (1..).zip(inventory.select("workers").unwrap()) {
        let network = (number - 1) / 3 + 1;
        assert_eq!(host.vars()["node_ip"], format!("172.16.{network}.{}", (number - 1) % 3 + 2));
        assert_eq!(host.vars()["pod_cidr"], format!("10.200.{number}.0/24"));
        let [Way::Ssh(straight), Way::Ssh(through)] = host.ways.as_slice() else { panic!("{:?}", host.ways) };
        assert_eq!(*straight, SshWay { user: Some("root".to_owned()), ..SshWay::default() });
        assert_eq!(
            (through.jump.as_slice(), through.address.as_deref()),
            (["jumpbox".to_owned()].as_slice(), Some(host.name.as_str()))
        );
    }
    assert_eq!(inventory.host("jumpbox").unwrap().ways.len(), 1);
}
