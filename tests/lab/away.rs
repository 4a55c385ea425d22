//! Connections that are lost in the middle of a step, and hosts that go away and come back.

use crate::needs;
use crate::support::{Run, script};

/// The host that is cut off and rebooted.
const HOST: &str = "worker-3";

/// What ends the connection that a step came by, and nothing else, as if the network had: the session of sshd.
const CUT: &str = "pkill -KILL -f '^sshd[^ ]*: root@notty'";

fn on(body: &str, flags: &[&str]) -> Run {
    script(&format!("on(\"{HOST}\", |host| {{\n{body}\n}});"), flags)
}

/// What a file on the host holds.
fn text(file: &str) -> String {
    let run = on(&format!("log(host.shell(\"cat {file} || true\", #{{ reads: true }}).stdout);"), &[]);
    let mut said = run.events.iter().filter_map(|event| event["event"]["said"]["text"].as_str());
    said.next_back().unwrap_or_else(|| panic!("{}", run.all)).to_owned()
}

fn fresh() {
    let run = on("host.run([\"rm\", \"-f\", \"/root/log\"]);", &[]);
    assert_eq!(run.code, 0, "{}", run.all);
}

#[test]
fn a_step_whose_connection_is_cut_is_stopped_told_and_never_run_twice() {
    let _turn = needs::lab();
    fresh();
    let run = on(
        &format!(
            r#"
                try {{
                    host.shell("echo begun >> /root/log; {CUT}; sleep 20; echo ended >> /root/log");
                }} catch (e) {{
                    log(e.kind + ": " + e.message);
                }}
                host.shell("echo next >> /root/log");
            "#
        ),
        &[],
    );
    assert_eq!(run.code, 0, "{}", run.all);
    assert!(
        run.all.contains("step: the connection was lost, so the host stopped the step in the middle"),
        "{}",
        run.all
    );
    assert_eq!(text("/root/log"), "begun\nnext");
}

#[test]
fn a_step_that_only_reads_is_asked_again() {
    let _turn = needs::lab();
    fresh();
    let cut = format!("test -e /root/log || {{ echo cut > /root/log; {CUT}; sleep 20; }}; cat /root/log");
    let run = on(&format!("log(host.shell(\"{cut}\", #{{ reads: true }}).stdout);"), &[]);
    assert_eq!(run.code, 0, "{}", run.all);
    assert!(run.all.contains("\"text\":\"cut\""), "{}", run.all);
}

#[test]
fn an_outcome_that_nobody_knows_is_told_as_such_and_the_step_is_not_run_again() {
    let _turn = needs::lab();
    fresh();
    let run = on("host.shell(\"echo begun >> /root/log; kill -KILL $PPID; sleep 1\");", &[]);
    assert_eq!(run.code, 4, "{}", run.all);
    assert!(run.all.contains("the step may or may not have been done"), "{}", run.all);
    assert_eq!(text("/root/log"), "begun");
}

#[test]
fn a_step_of_another_user_is_stopped_with_its_connection_too() {
    let _turn = needs::lab();
    fresh();
    // Nobody may end the session of root, so root does it from a unit of its own, a moment later.
    let run = on(
        &format!(
            r#"
                host.run(["systemd-run", "--collect", "--on-active=2s", "--timer-property=AccuracySec=100ms", "sh", "-c", "{CUT}"]);
                try {{
                    host.as_user("nobody").run(["sleep", "67"]);
                }} catch (e) {{
                    log(e.message);
                }}
                host.shell("! pgrep -f '^sleep 67'", #{{ reads: true }});
            "#
        ),
        &[],
    );
    assert_eq!(run.code, 0, "{}", run.all);
    assert!(run.all.contains("the host stopped the step in the middle"), "{}", run.all);
}

#[test]
fn packages_are_installed_to_the_end_while_nobody_is_connected_and_what_came_of_it_is_known() {
    let _turn = needs::lab();
    fresh();
    // A package whose installation cuts the connection, and then takes its time.
    let setup = format!(
        r##"
            host.pkg("mk-slow", #{{ state: "absent" }});
            for dir in ["/root/slow/DEBIAN", "/root/repo"] {{ host.dir(dir); }}
            host.copy("/root/slow/DEBIAN/control", #{{ content: "Package: mk-slow\nVersion: 1\nArchitecture: all\nMaintainer: mk\nDescription: slow\n" }});
            host.copy("/root/slow/DEBIAN/postinst", #{{ content: "#!/bin/sh\necho begun >> /root/log\n{CUT}\nsleep 5\necho ended >> /root/log\n", mode: "0755" }});
            host.shell("cd /root/repo && dpkg-deb -b /root/slow mk-slow.deb && (dpkg-deb -f mk-slow.deb; echo Filename: ./mk-slow.deb; echo Size: $(stat -c %s mk-slow.deb); echo SHA256: $(sha256sum mk-slow.deb | cut -c 1-64)) > Packages");
            host.copy("/etc/apt/sources.list.d/mk-slow.list", #{{ content: "deb [trusted=yes] file:/root/repo ./\n" }});
            host.run(["apt-get", "update", "-o", "Dir::Etc::sourcelist=/etc/apt/sources.list.d/mk-slow.list", "-o", "Dir::Etc::sourceparts=-"]);
        "##
    );
    let made = on(&setup, &[]);
    assert_eq!(made.code, 0, "{}", made.all);
    let run = on(
        r#"
            let did = host.pkg("mk-slow");
            log(did.status);
            host.shell("echo next >> /root/log");
        "#,
        &[],
    );
    assert_eq!(run.code, 0, "{}", run.all);
    assert!(run.all.contains("connects again") && run.all.contains("\"text\":\"changed\""), "{}", run.all);
    assert_eq!(text("/root/log"), "begun\nended\nnext");
    assert_eq!(on("host.pkg(\"mk-slow\");", &[]).changes(), vec![]);
    let gone = on(
        r#"
            host.pkg("mk-slow", #{ state: "absent" });
            host.file("/etc/apt/sources.list.d/mk-slow.list", #{ state: "absent" });
        "#,
        &[],
    );
    assert_eq!(gone.code, 0, "{}", gone.all);
}

#[test]
fn an_agent_that_does_not_know_that_its_connection_is_dead_makes_way_for_the_next() {
    let _turn = needs::lab();
    fresh();
    // Stopped, sshd neither passes anything on nor ends: this side notices after a minute of silence.
    let stop = CUT.replace("KILL", "STOP");
    let run = on(
        &format!(
            r#"
                try {{
                    host.shell("echo begun >> /root/log; {stop}; sleep 300; echo ended >> /root/log");
                }} catch (e) {{
                    log(e.message);
                }}
                host.shell("echo next >> /root/log");
            "#
        ),
        &[],
    );
    let _ = on(
        &format!(
            "host.shell(\"{}\", #{{ reads: true, ok: [] }});",
            CUT.replace("root@notty'", "root@notty' --older 30")
        ),
        &[],
    );
    assert_eq!(run.code, 0, "{}", run.all);
    assert!(run.all.contains("the host stopped the step in the middle"), "{}", run.all);
    assert_eq!(text("/root/log"), "begun\nnext");
}

#[test]
fn a_host_goes_away_and_comes_back_and_notified_steps_still_run_once() {
    let _turn = needs::lab();
    fresh();
    let body = r#"
        let before = host.facts.boot_id;
        host.shell("echo changed >> /root/log", #{ notify: later("shell", "echo notified >> /root/log") });
        let did = host.reboot("2m");
        log("system " + did.system);
        assert(did.boot != "", "no boot id");
        host.shell("echo after >> /root/log");
    "#;
    let body = body.replace("let before = host.facts.boot_id;\n", "");
    let checked = on(
        &body.replace("log(\"system \" + did.system);", "").replace("assert(did.boot != \"\", \"no boot id\");", ""),
        &["--check"],
    );
    assert!(
        checked.done().iter().any(|done| done.call.starts_with("reboot") && done.status == "would_run"),
        "{}",
        checked.all
    );
    assert_eq!(text("/root/log"), "");
    let run = on(&body, &[]);
    assert_eq!(run.code, 0, "{}", run.all);
    assert!(run.all.contains("waits for it to answer") && run.all.contains("\"system running\""), "{}", run.all);
    assert_eq!(text("/root/log"), "changed\nafter\nnotified");
}

#[test]
fn the_machine_of_mk_itself_is_not_rebooted() {
    let _turn = needs::lab();
    let run = script("local().reboot();", &[]);
    assert_eq!(run.code, 1, "{}", run.all);
    assert!(run.all.contains("this is the machine that mk itself runs on"), "{}", run.all);
}

#[test]
fn a_mounted_file_system_is_remounted_with_its_new_options_and_goes_again() {
    let _turn = needs::lab();
    let mount = |options: &str| {
        format!("host.mount(\"/mnt/mk-m\", #{{ src: \"tmpfs\", fstype: \"tmpfs\", options: \"{options}\" }});")
    };
    let has = |option: &str| {
        let run = on(
            &format!(
                "host.shell(\"findmnt -no OPTIONS /mnt/mk-m | tr , '\\\\n' | grep -qx {option}\", #{{ reads: true }});"
            ),
            &[],
        );
        assert_eq!(run.code, 0, "{option}: {}", run.all);
    };
    for (options, effect) in [("size=1m,noexec", "noexec"), ("size=2m,nosuid", "size=2048k"), ("ro", "ro")] {
        let text = mount(options);
        assert_eq!(on(&text, &["--check"]).changes().len(), 1);
        let run = on(&text, &[]);
        assert_eq!((run.code, run.changes().len()), (0, 1), "{}", run.all);
        has(effect);
        assert_eq!(on(&text, &[]).changes(), vec![]);
    }
    let run = on(
        r#"
            host.mount("/mnt/mk-m", #{ state: "unmounted" });
            host.run(["grep", "-q", "mk-m tmpfs ro", "/etc/fstab"], #{ reads: true });
            host.mount("/mnt/mk-m", #{ state: "absent" });
            host.shell("! grep -q mk-m /etc/fstab /proc/mounts", #{ reads: true });
        "#,
        &[],
    );
    assert_eq!(run.code, 0, "{}", run.all);
}
