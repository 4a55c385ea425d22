//! What systemd's answers mean for each wish, and one unit by a `systemctl` that knows no other. Units themselves are
//! run in the lab.

use std::cell::RefCell;

use serde_json::{Value, json};

use super::*;
use crate::change::compare;
use crate::op::alone::alone;
use crate::op::contract::{Host, refusal};
use crate::sys::{Effect, Jobs, Kind, NoPeer, Plan, Planned};

/// The names of the fields that differ, or the fault.
fn differs(args: Value, shown: &str, planned: &[&str]) -> Result<Vec<String>> {
    let op: Systemd = serde_json::from_value(args).unwrap();
    let (jobs, known) = (Jobs::default(), RefCell::default());
    let plan = RefCell::new(Plan::default());
    for path in planned {
        let file = Planned { kind: Some(Kind::File), ..Planned::default() };
        plan.borrow_mut().apply(Effect::Path(path.into(), file));
    }
    let probe = Probe::new(Some(&plan), &NoPeer, &jobs, &known, false);
    let actual = op.read(&probe, &Shown::parse(shown))?;
    let desired = op.desired(Some(&actual))?;
    let diff = compare(Some(&actual), desired.as_ref())?;
    Ok(diff.map(|diff| diff.fields.into_iter().map(|field| field.name).collect()).unwrap_or_default())
}

const UP: &str = "LoadState=loaded\nActiveState=active\nSubState=running\nUnitFileState=enabled\nNeedDaemonReload=no";
const DOWN: &str = "LoadState=loaded\nActiveState=inactive\nUnitFileState=disabled\nNeedDaemonReload=no";
const NONE: &str = "LoadState=not-found\nActiveState=inactive\nUnitFileState=\nNeedDaemonReload=no";

fn unit(more: Value) -> Value {
    let mut args = json!({ "unit": "mk-none" });
    args.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    args
}

#[test]
fn only_what_is_managed_differs() {
    assert_eq!(differs(unit(json!({ "state": "started", "enabled": true })), UP, &[]).unwrap(), [""; 0]);
    assert_eq!(differs(unit(json!({ "state": "started" })), DOWN, &[]).unwrap(), ["state"]);
    assert_eq!(differs(unit(json!({ "enabled": true, "masked": false })), DOWN, &[]).unwrap(), ["enabled"]);
    let failed = "LoadState=loaded\nActiveState=failed\nUnitFileState=enabled";
    assert_eq!(differs(unit(json!({ "state": "stopped" })), failed, &[]).unwrap(), [""; 0]);
}

#[test]
fn a_unit_on_its_way_up_is_enough_only_for_those_who_do_not_wait() {
    let starting = "LoadState=loaded\nActiveState=activating\nSubState=start\nUnitFileState=enabled";
    let queued = "LoadState=loaded\nActiveState=inactive\nJob=812\nUnitFileState=enabled";
    let falling = "LoadState=loaded\nActiveState=activating\nSubState=auto-restart\nUnitFileState=enabled";
    assert_eq!(differs(unit(json!({ "state": "started" })), starting, &[]).unwrap(), ["state"]);
    let loose = || unit(json!({ "state": "started", "no_block": true }));
    assert_eq!(differs(loose(), starting, &[]).unwrap(), [""; 0]);
    assert_eq!(differs(loose(), queued, &[]).unwrap(), [""; 0]);
    assert_eq!(differs(loose(), falling, &[]).unwrap(), ["state"]);
}

#[test]
fn an_unknown_unit_is_a_fault_unless_it_is_planned_or_not_wanted() {
    let wish = || unit(json!({ "state": "started", "enabled": true }));
    let error = differs(wish(), NONE, &[]).unwrap_err();
    assert_eq!(error.message(), "systemd knows no unit `mk-none.service`");
    let file = "/etc/systemd/system/mk-none.service";
    assert_eq!(differs(wish(), NONE, &[file]).unwrap(), ["state", "enabled"]);
    assert_eq!(differs(unit(json!({ "state": "stopped", "enabled": false })), NONE, &[]).unwrap(), [""; 0]);
}

#[test]
fn a_unit_that_is_missing_is_assumed_to_come_with_a_planned_package() {
    let op: Systemd = serde_json::from_value(unit(json!({ "state": "started" }))).unwrap();
    let (jobs, known) = (Jobs::default(), RefCell::default());
    let plan = RefCell::new(Plan::default());
    plan.borrow_mut().apply(Effect::Packages(vec!["demo".into()]));
    let probe = Probe::new(Some(&plan), &NoPeer, &jobs, &known, false);
    let found = op.read(&probe, &Shown::parse(NONE)).unwrap();
    assert_eq!(found.state.as_deref(), Some("stopped"));
    assert_eq!(probe.assumed().unwrap(), "assumes that package `demo` brings unit `mk-none.service`");
}

#[test]
fn a_changed_definition_is_reloaded() {
    let stale = UP.replace("NeedDaemonReload=no", "NeedDaemonReload=yes");
    assert_eq!(differs(unit(json!({ "state": "started" })), &stale, &[]).unwrap(), ["definition"]);
    assert_eq!(
        differs(unit(json!({ "state": "started" })), UP, &["/etc/systemd/system/mk-none.service"]).unwrap(),
        ["definition"]
    );
    let drop_in = "/etc/systemd/system/mk-none.service.d/limits.conf";
    assert_eq!(differs(unit(json!({ "state": "started" })), UP, &[drop_in]).unwrap(), ["definition"]);
    assert_eq!(differs(unit(json!({ "state": "stopped" })), &DOWN.replace("=no", "=yes"), &[]).unwrap(), [""; 0]);
}

#[test]
fn inputs_are_adopted_from_a_running_unit_unless_a_step_would_change_them() {
    let inputs = json!([{ "digest": "d1", "path": "/no/such" }, "d2"]);
    let wish = || unit(json!({ "state": "started", "restart_on": inputs, "reload_on": ["d3"] }));
    assert_eq!(differs(wish(), UP, &[]).unwrap(), [""; 0]);
    assert_eq!(differs(wish(), UP, &["/no/such"]).unwrap(), ["restart_on"]);
    // What does not run yet starts with everything as it is: that is one difference, not three.
    assert_eq!(differs(wish(), DOWN, &["/no/such"]).unwrap(), ["state"]);
}

#[test]
fn a_unit_without_an_install_section_cannot_be_enabled() {
    let fixed = UP.replace("=enabled", "=static");
    let error = differs(unit(json!({ "enabled": true })), &fixed, &[]).unwrap_err();
    assert!(error.message().ends_with("no `[Install]` section"), "{error}");
    assert_eq!(differs(unit(json!({ "enabled": false })), &fixed, &[]).unwrap(), [""; 0]);
}

#[test]
fn a_unit_that_is_only_enabled_along_with_others_names_them() {
    let host = Host::new();
    let file = host.put("mk-none.service", "[Service]\nExecStart=/bin/true\n[Install]\nAlso=mk-none.socket\n");
    let indirect = format!("{}\nFragmentPath={}", DOWN.replace("=disabled", "=indirect"), file.display());
    let error = differs(unit(json!({ "enabled": true })), &indirect, &[]).unwrap_err();
    assert!(error.message().contains("only names other units, with `Also=`"), "{error}");
    assert_eq!(error.hints(), ["enable what starts it: `mk-none.socket`"]);
    assert_eq!(differs(unit(json!({ "enabled": false })), &indirect, &[]).unwrap(), [""; 0]);
    // One that is there under another name, or as an instance, has rules and is enabled like any other.
    host.put("mk-none.service", "[Install]\nWantedBy=multi-user.target\nAlso=mk-none.socket\n");
    assert_eq!(differs(unit(json!({ "enabled": true })), &indirect, &[]).unwrap(), ["enabled"]);
}

#[test]
fn what_no_wish_can_be_answered_for_is_a_fault() {
    let made = format!("Id=srv.mount\nSourcePath=/etc/fstab\n{}", UP.replace("=enabled", "=generated"));
    for wish in [true, false] {
        let error = differs(unit(json!({ "enabled": wish })), &made, &[]).unwrap_err();
        assert!(error.message().ends_with("it is made at every boot, from `/etc/fstab`"), "{error}");
    }
    assert_eq!(differs(unit(json!({ "state": "started" })), &made, &[]).unwrap(), [""; 0]);
    let passing = UP.replace("=enabled", "=transient");
    let error = differs(unit(json!({ "enabled": true })), &passing, &[]).unwrap_err();
    assert!(error.message().contains("gone with the next boot"), "{error}");
}

#[test]
fn what_holds_until_the_next_boot_is_as_no_wish_has_it() {
    let host = Host::new();
    let file = host.put("mk-none.service", "[Install]\nWantedBy=multi-user.target\n");
    let enabled = format!("{}\nFragmentPath={}", UP.replace("=enabled", "=enabled-runtime"), file.display());
    let masked = "LoadState=masked\nActiveState=inactive\nUnitFileState=masked-runtime";
    for wish in [true, false] {
        assert_eq!(differs(unit(json!({ "enabled": wish })), &enabled, &[]).unwrap(), ["enabled"]);
        assert_eq!(differs(unit(json!({ "masked": wish })), masked, &[]).unwrap(), ["masked"]);
    }
}

#[test]
fn a_masked_unit_is_not_started_unless_the_mask_is_to_go() {
    let masked = "LoadState=masked\nActiveState=inactive\nUnitFileState=masked";
    let error = differs(unit(json!({ "state": "started" })), masked, &[]).unwrap_err();
    assert_eq!(error.hints(), ["`masked: false` lifts that"]);
    assert_eq!(
        differs(unit(json!({ "state": "started", "masked": false })), masked, &[]).unwrap(),
        ["state", "masked"]
    );
    assert_eq!(differs(unit(json!({ "state": "stopped", "enabled": false })), masked, &[]).unwrap(), [""; 0]);
}

#[test]
fn a_unit_whose_file_is_where_its_mask_would_be_cannot_be_masked() {
    let file = "/etc/systemd/system/mk-none.service";
    let error = differs(unit(json!({ "masked": true })), DOWN, &[file]).unwrap_err();
    assert_eq!(
        error.message(),
        "`mk-none.service` cannot be masked: the mask would be where its file is, `/etc/systemd/system/mk-none.service`"
    );
    assert_eq!(differs(unit(json!({ "masked": true })), DOWN, &[]).unwrap(), ["masked"]);
}

#[test]
fn wishes_that_make_no_sense_are_refused() {
    assert_eq!(refusal("systemd", unit(json!({}))), "systemd: nothing is asked of the unit");
    assert!(refusal("systemd", unit(json!({ "masked": true, "enabled": true }))).contains("a masked unit"));
    let wrong = refusal("systemd", unit(json!({ "restart_on": [1] })));
    assert!(wrong.contains("the outcome of an earlier step"), "{wrong}");
}

/// A service that sleeps: what is so of it are files, the number of its start is another with each.
const SYSTEMCTL: &str = r#"start() { touch active; echo $(($(cat starts 2>/dev/null || echo 0) + 1)) >starts; }
case "$*" in
  "show mk-demo.service --no-pager --property="*)
    state() { [ -e "$1" ] && echo "$2" || echo "$3"; }
    echo "LoadState=$(state masked masked loaded)"
    echo "ActiveState=$(state active active inactive)"
    echo "SubState=$(state active running dead)"
    echo "UnitFileState=$(state masked masked "$(state enabled enabled disabled)")"
    echo "NeedDaemonReload=no"
    echo "Type=notify"
    echo "InvocationID=$(state active "$(cat starts 2>/dev/null)" "")" ;;
  "enable mk-demo.service") touch enabled ;;
  "disable mk-demo.service") rm enabled ;;
  "start mk-demo.service" | "restart mk-demo.service") start ;;
  "stop mk-demo.service") rm active ;;
  "mask mk-demo.service") touch masked ;;
  "unmask mk-demo.service") rm masked ;;
  *) unexpected "$@" ;;
esac"#;

#[test]
fn starting_restarting_for_other_inputs_stopping_and_masking_hold_the_contract() {
    alone(&[("systemctl", SYSTEMCTL)], |folder| {
        std::fs::create_dir_all("/run/systemd/system").unwrap();
        let wish = |more: Value| {
            let mut args = json!({ "unit": "mk-demo" });
            args.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            args
        };
        let wishes = [
            wish(json!({ "state": "started", "enabled": true, "restart_on": ["d1"] })),
            wish(json!({ "state": "started", "restart_on": ["d2"] })),
            wish(json!({ "state": "stopped", "enabled": false })),
            wish(json!({ "masked": true })),
            wish(json!({ "masked": false })),
        ];
        Host::new().contract("systemd", &wishes);
        assert_eq!(std::fs::read_to_string(folder.join("starts")).unwrap(), "2\n");
    });
}

/// A unit that is enabled and masked for this boot, one made of an init script, and another name of a third.
const ODD: &str = r#"case "$*" in
  "show mk-boot.service --no-pager --property="*)
    echo "Id=mk-boot.service"; echo "LoadState=loaded"; echo "ActiveState=inactive"; echo "FragmentPath=$PWD/mk-boot.service"
    echo "UnitFileState=$( { [ -e lasting ] && echo enabled; } || { [ -e passing ] && echo enabled-runtime; } || echo disabled)" ;;
  "enable mk-boot.service") touch lasting ;;
  "disable mk-boot.service") rm -f lasting ;;
  "disable --runtime mk-boot.service") rm passing ;;
  "show mk-old.service --no-pager --property="*)
    echo "Id=mk-old.service"; echo "LoadState=loaded"; echo "ActiveState=inactive"
    echo "UnitFileState=generated"; echo "SourcePath=/etc/init.d/mk-old" ;;
  "is-enabled mk-old.service") if [ -e script ]; then echo enabled; else echo disabled; exit 1; fi ;;
  "enable mk-old.service") touch script ;;
  "show mk-nick.service --no-pager --property="*)
    echo "Id=mk-name.service"; echo "LoadState=loaded"; echo "ActiveState=inactive"
    echo "UnitFileState=$([ -e named ] && echo enabled || echo disabled)" ;;
  "enable mk-name.service") touch named ;;
  *) unexpected "$@" ;;
esac"#;

#[test]
fn links_of_this_boot_init_scripts_and_other_names_hold_the_contract() {
    alone(&[("systemctl", ODD)], |folder| {
        std::fs::create_dir_all("/run/systemd/system").unwrap();
        std::fs::write(folder.join("passing"), "").unwrap();
        std::fs::write(folder.join("mk-boot.service"), "[Install]\nWantedBy=multi-user.target\n").unwrap();
        let wish = |name: &str, enabled: bool| json!({ "unit": name, "enabled": enabled });
        Host::new().contract("systemd", &[wish("mk-boot", true), wish("mk-boot", false)]);
        assert!(!folder.join("passing").exists());
        Host::new().contract("systemd", &[wish("mk-old", true), wish("mk-nick", true)]);
    });
}
