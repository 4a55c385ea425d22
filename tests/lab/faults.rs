//! What goes wrong, and what is left behind.

use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::needs;
use crate::support::{mk, script};

#[test]
fn a_second_run_on_the_same_host_meets_a_lock_that_names_its_holder() {
    let _turn = needs::lab();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("slow.rhai");
    std::fs::write(&path, "on(\"worker-2\", |host| { host.run([\"sleep\", \"10\"]); });").unwrap();
    let mut first = mk(&["run", path.to_str().unwrap(), "--json"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(first.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().contains("step_started")));
    std::thread::sleep(Duration::from_millis(500));
    let second = mk(&["do", "worker-2", "run", "true", "--lock-wait", "0s"]).output().unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&second.stdout), String::from_utf8_lossy(&second.stderr));
    assert_eq!(second.status.code(), Some(1), "{said}");
    assert!(said.contains("another run has this host:") && said.contains(&format!("process {}", first.id())), "{said}");
    let _ = lines.by_ref().count();
    assert!(first.wait().unwrap().success());
}

#[test]
fn mk_killed_between_a_changed_unit_and_its_restart_restarts_it_once_in_the_next_run() {
    let _turn = needs::lab();
    let unit = |env: &str, pause: &str| {
        format!(
            r#"
                on("worker-2", |host| {{
                    let unit = host.copy("/etc/systemd/system/mk-kill.service", #{{ content: "[Service]\nEnvironment=N={env}\nExecStart=/bin/sleep infinity\n" }});
                    {pause}
                    host.systemd("mk-kill", #{{ state: "started", restart_on: [unit] }});
                }});
            "#
        )
    };
    assert_eq!(script(&unit("1", ""), &[]).code, 0);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("killed.rhai");
    std::fs::write(&path, unit("2", "host.run([\"sleep\", \"60\"]);")).unwrap();
    let mut killed = mk(&["run", path.to_str().unwrap(), "--json"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(killed.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| {
        let line = line.unwrap();
        line.contains("step_started") && line.contains("sleep 60")
    }));
    killed.kill().unwrap();
    killed.wait().unwrap();
    let next = script(&unit("2", ""), &[]);
    assert_eq!(next.code, 0, "{}", next.all);
    let changes: Vec<_> = next.changes().into_iter().map(|done| done.call).collect();
    assert_eq!(changes, ["systemd mk-kill"], "{}", next.all);
    assert_eq!(script(&unit("2", ""), &[]).changes(), vec![]);
    // What ran when mk was killed was stopped with its agent.
    let left = script(
        r#"
            on("worker-2", |host| {
                log(host.shell("pgrep -fc '^sleep 60' || true", #{ reads: true }).stdout);
            });
        "#,
        &[],
    );
    assert!(left.all.contains("\"text\":\"0\""), "{}", left.all);
}

#[test]
fn a_host_that_cannot_be_reached_costs_only_itself() {
    let _turn = needs::lab();
    let folder = tempfile::tempdir().unwrap();
    let inventory = std::fs::read_to_string(crate::support::root().join("inventories/lab/inventory.yml")).unwrap();
    let broken = inventory.replace("address: \"10.77.21.1{n}\"", "address: \"10.77.21.24{n}\"");
    assert_ne!(inventory, broken);
    std::fs::write(folder.path().join("inventory.yml"), broken).unwrap();
    let playbook = folder.path().join("p.rhai");
    std::fs::write(
        &playbook,
        r#"
            let r = on("controllers:worker-1", |host| {
                host.run(["true"]);
                1
            });
            log(`${r.ok.len()} of 4`);
        "#,
    )
    .unwrap();
    let begun = Instant::now();
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_mk"))
        .args(["run", "--json", playbook.to_str().unwrap(), "-i", folder.path().to_str().unwrap()])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(4), "{said}");
    assert!(said.contains("3 of 4"), "{said}");
    assert!(begun.elapsed() < Duration::from_secs(30));
}

#[test]
fn a_full_disk_and_a_read_only_target_leave_the_old_content_whole() {
    let _turn = needs::lab();
    let text = r#"
on("worker-2", |host| {
    host.dir("/mnt/small");
    host.shell("mountpoint -q /mnt/small || mount -t tmpfs -o size=64k tmpfs /mnt/small");
    host.shell("mount -o remount,rw /mnt/small");
    host.copy("/mnt/small/f", #{ content: "old" });
    let big = "0123456789abcdef";
    for i in 0..13 { big += big; }
    try { host.copy("/mnt/small/f", #{ content: big }); } catch (e) { log("full: " + e.message); }
    assert(host.run(["cat", "/mnt/small/f"], #{ reads: true }).stdout == "old", "the old content is gone");
    assert(host.run(["ls", "-A", "/mnt/small"], #{ reads: true }).stdout == "f", "something was left behind");
    host.shell("mount -o remount,ro /mnt/small");
    try { host.copy("/mnt/small/f", #{ content: "new" }); } catch (e) { log("read-only: " + e.message); }
    host.shell("umount /mnt/small");
});
"#;
    let held = script(text, &[]);
    assert_eq!(held.code, 0, "{}", held.all);
    assert!(held.all.contains("No space left on device"), "{}", held.all);
    assert!(held.all.contains("Read-only file system"), "{}", held.all);
}

#[test]
fn ctrl_c_stops_the_steps_on_the_hosts_too() {
    let _turn = needs::lab();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("long.rhai");
    std::fs::write(&path, "on(\"worker-1,worker-2\", |host| { host.run([\"sleep\", \"61\"]); });").unwrap();
    let mut long = mk(&["run", path.to_str().unwrap(), "--json"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(long.stdout.take().unwrap()).lines();
    let started = lines.by_ref().map(Result::unwrap).filter(|line| line.contains("step_started")).take(2).count();
    assert_eq!(started, 2);
    std::thread::sleep(Duration::from_millis(300));
    let begun = Instant::now();
    let pid = rustix::process::Pid::from_raw(i32::try_from(long.id()).unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    let _ = lines.count();
    assert_eq!(long.wait().unwrap().code(), Some(130));
    assert!(begun.elapsed() < Duration::from_secs(15));
    let left =
        script("on(\"worker-1,worker-2\", |host| { host.shell(\"! pgrep -f '^sleep 61'\", #{ reads: true }); });", &[]);
    assert_eq!(left.code, 0, "{}", left.all);
}
