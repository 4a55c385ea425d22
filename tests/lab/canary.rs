//! The canary matrix on a real host: no secret of any row gets into its journal.
//!
//! What a run shows and keeps, and what processes show, the suite looks at; systemd and a journal are only here.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::canary_rows::{Host, ROWS};
use crate::forms::{Forms, leaks};
use crate::kubernetes::well;
use crate::needs;
use crate::support::{project, script};

/// The host that the rows may do anything to.
const HOST: &str = "worker-3";

/// On it.
const TOP: &str = "/srv/mk-canary";

/// The operations whose steps depend on what the host lets be set, and on who answers there.
const DEPENDS: [&str; 2] = ["sysctl", "wait"];

fn on(body: &str) -> crate::support::Run {
    well(script(&format!("on(\"{HOST}\", |host| {{\n{body}\n}});"), &[]))
}

#[test]
fn no_secret_of_the_canary_matrix_is_in_the_journal_of_its_host() {
    let _turn = needs::lab();
    let host = Host { name: HOST, top: TOP, port: 22 };
    let texts = host.texts();
    std::fs::create_dir_all(project().join("texts")).unwrap();
    for (number, text) in texts.iter().enumerate() {
        std::fs::write(project().join(format!("texts/{number:02}")), text).unwrap();
    }
    std::fs::write(project().join("t.j2"), "pw={{ pw }}\n").unwrap();
    on(r#"
        host.dir("/srv/mk-canary");
        host.copy("/srv/mk-canary/dump", #{ content: "exit 0\n" });
    "#);
    let begun = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let made = well(script(&host.before(), &[]));
    let ran = well(script(&host.playbook(|row| row.step.to_owned()), &[]));
    let failed = well(script(&host.playbook(|row| row.fails.to_owned()), &[]));
    // It is not mk's fault that sshd tells of what a row asks it over HTTP: that is where the playbook sends it. Those
    // lines are left out on the host, since here a line may come in two events.
    let asked = "client sent invalid protocol identifier";
    let journal = on(&format!(
        "log(host.shell(\"journalctl --no-pager -o export --since @{begun} | grep -avF '{asked}'\", #{{ reads: true }}).stdout);"
    ));
    on(r#"
        host.shell("userdel mkrow; userdel mkfails; true");
        host.shell("sed -i '/^mkrow[0-9]/d' /etc/passwd");
        host.dir("/srv/mk-canary", #{ state: "absent" });
    "#);
    for (number, row) in ROWS.iter().enumerate() {
        let well = format!("{number:02} came well");
        assert!(made.all.contains(&well), "{well}? {} {}: {}", row.op, row.parameter, made.all);
        let sure = !DEPENDS.contains(&row.op);
        assert!(!sure || ran.all.contains(&well), "{well}? {} {}: {}", row.op, row.parameter, ran.all);
        // Without the suite's program in the place of `chpasswd`, a password can be set.
        assert!(
            !sure || row.op == "user" || !failed.all.contains(&well),
            "{well}: {} {}: {}",
            row.op,
            row.parameter,
            failed.all
        );
    }
    assert!(journal.all.contains("mkrow"), "the journal tells nothing of the accounts: {}", journal.all);
    let pieces: Vec<String> = (0..10).map(|digit| format!("canary{digit}")).collect();
    // The port that is waited for is that of sshd, of which the journal may tell.
    let whole = texts.iter().filter(|text| !text.contains("canary") && !text.ends_with(":22"));
    let pieces: Vec<&str> = pieces.iter().chain(whole).map(String::as_str).collect();
    let shown = vec![("the journal".to_owned(), journal.all.to_string())];
    assert_eq!(leaks(&shown, &Forms::of(&pieces)), Vec::<String>::new());
}
