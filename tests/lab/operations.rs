//! Every operation's examples, run on a real host: they must do what they say, twice, and be foretold.

use mk::op::Class;
use mk::ops::OPS;

use crate::needs;
use crate::support::{Run, script};

/// The host that examples may do anything to.
const HOST: &str = "worker-3";

/// The statuses of this operation's own steps.
fn own(run: &Run, op: &str) -> Vec<String> {
    let steps = run.done().into_iter().filter(|done| done.call.starts_with(&format!("{op} ")));
    steps.map(|done| done.status).collect()
}

#[test]
fn examples_do_what_they_say_and_are_foretold() {
    let _turn = needs::lab();
    let mut wrong = Vec::new();
    for spec in OPS {
        for example in spec.examples {
            let text = format!("on(\"{HOST}\", |host| {{\n{}\n}});", example.code);
            let mut tell =
                |what: &str, run: &Run| wrong.push(format!("{}: {}: {what}\n{}", spec.name, example.title, run.all));
            let checked = script(&text, &["--check"]);
            let first = script(&text, &[]);
            if first.code != 0 {
                tell("it fails", &first);
                continue;
            }
            let second = script(&text, &[]);
            if second.code != 0 {
                tell("the second run fails", &second);
            }
            let last = script(&text, &["--check"]);
            let statuses =
                [own(&checked, spec.name), own(&first, spec.name), own(&second, spec.name), own(&last, spec.name)];
            let [before, did, again, after] = &statuses;
            if spec.class == Class::Fact {
                if did.iter().any(|status| status != "read") {
                    tell(&format!("a fact gives {did:?}"), &first);
                }
                continue;
            }
            for (foretold, came) in before.iter().zip(did) {
                let right = matches!(
                    (foretold.as_str(), came.as_str()),
                    ("would_change" | "would_run", "changed") | ("unknown", _)
                ) || foretold == came;
                if !right {
                    tell(&format!("foretold {foretold}, came {came}"), &checked);
                }
            }
            if spec.class == Class::Resource {
                if again.iter().any(|status| status != "ok") {
                    tell(&format!("the second run gives {again:?}"), &second);
                }
                if after.iter().any(|status| status != "ok") {
                    tell(&format!("a check after it gives {after:?}"), &last);
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n----\n"));
}

/// A unit on a host of its own name, with what a script does to it.
fn with_unit(name: &str, script_text: &str) -> Run {
    let file = format!("/etc/systemd/system/{name}.service");
    script(
        &format!(
            r#"
                on("{HOST}", |host| {{
                    let unit = host.copy("{file}", #{{ content: "[Service]\nExecStart=/bin/sleep infinity\n" }});
                    {script_text}
                }});
            "#
        ),
        &[],
    )
}

#[test]
fn the_first_drop_in_of_a_running_unit_is_in_use_after_the_restart_it_asks_for() {
    let _turn = needs::lab();
    assert_eq!(with_unit("mk-drop", "host.systemd(\"mk-drop\", #{ state: \"started\", restart_on: [unit] });").code, 0);
    let text = r#"
        host.dir("/run/systemd/system/mk-drop.service.d");
        let more = host.copy("/run/systemd/system/mk-drop.service.d/more.conf", #{ content: "[Service]\nEnvironment=MORE=1\n" });
        host.systemd("mk-drop", #{ state: "started", restart_on: [unit, more] });
        assert(host.run(["systemctl", "show", "--value", "-p", "Environment", "mk-drop"], #{ reads: true }).stdout == "MORE=1", "not in use");
    "#;
    let first = with_unit("mk-drop", text);
    let second = with_unit("mk-drop", text);
    let gone = with_unit(
        "mk-drop",
        r#"
            host.systemd("mk-drop", #{ state: "stopped" });
            host.dir("/run/systemd/system/mk-drop.service.d", #{ state: "absent" });
        "#,
    );
    assert_eq!((first.code, gone.code), (0, 0), "{}{}", first.all, gone.all);
    assert_eq!(second.changes(), vec![], "{}", second.all);
}

#[test]
fn a_start_that_is_not_waited_for_is_remembered_as_the_start_it_was() {
    let _turn = needs::lab();
    // It is queued behind another one. Then a file it reads is touched, which would count if the start on record were
    // another one.
    let start = r#"
        let file = host.copy("/srv/queued", #{ content: "x" });
        host.systemd("mk-queued", #{ state: "started", no_block: true, restart_on: [unit, file] });
    "#;
    let first = with_unit(
        "mk-queued",
        &format!(
            r#"
                host.copy("/etc/systemd/system/mk-before.service", #{{ content: "[Unit]\nBefore=mk-queued.service\n[Service]\nType=oneshot\nExecStart=/bin/sleep 0.4\n" }});
                host.run(["systemctl", "daemon-reload"]);
                host.run(["systemctl", "stop", "mk-queued"]);
                host.run(["systemctl", "start", "--no-block", "mk-before"]);
                {start}
                host.run(["sleep", "1"]);
                host.run(["touch", "/srv/queued"]);
            "#
        ),
    );
    let second = with_unit("mk-queued", start);
    let gone = with_unit(
        "mk-queued",
        r#"
            host.systemd("mk-queued", #{ state: "stopped" });
            host.file("/srv/queued", #{ state: "absent" });
        "#,
    );
    assert_eq!((first.code, gone.code), (0, 0), "{}{}", first.all, gone.all);
    assert_eq!(second.changes(), vec![], "{}", second.all);
}

#[test]
fn a_unit_that_works_for_a_moment_and_falls_has_not_started() {
    let _turn = needs::lab();
    let falls = r#"
        host.copy("/etc/systemd/system/mk-falls.service", #{ content: "[Service]\nExecStart=/bin/sh -c 'i=0; while [ $$i -lt 100000 ]; do i=$$((i+1)); done; echo no more; exit 3'\n[Install]\nWantedBy=multi-user.target\n" });
        host.systemd("mk-falls", #{ state: "started", enabled: true });
    "#;
    let fell = with_unit("mk-stays", falls);
    let gone = with_unit(
        "mk-stays",
        r#"
            host.systemd("mk-stays", #{ state: "started" });
            host.systemd("mk-falls", #{ state: "stopped", enabled: false });
            host.systemd("mk-stays", #{ state: "stopped" });
        "#,
    );
    assert_eq!((fell.code != 0, gone.code), (true, 0), "{}{}", fell.all, gone.all);
    for part in ["`mk-falls.service` was started and did not stay up", "status 3", "no more"] {
        assert!(fell.all.contains(part), "{part}: {}", fell.all);
    }
}
