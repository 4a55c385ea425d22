//! What a test needs of the labs. Each test says it in its first line, and has it then, whether it is run alone or after
//! others, in whatever order: what is there already costs little, and what is not is brought about.
//!
//! The labs themselves must be up: `mk run playbooks/lab/up.rhai -i inventories/lab`, and the same for `small`.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use crate::kubernetes::{CONFIRMED, built, well};
use crate::support::{inventory, mk, run, run_small, script, small};

/// One test at a time has the labs, for as long as it holds this.
pub(crate) struct Turn(#[allow(dead_code, reason = "held, not looked at")] MutexGuard<'static, ()>);

fn turn() -> Turn {
    static TURN: Mutex<()> = Mutex::new(());
    // A test that failed has had its turn.
    Turn(TURN.lock().unwrap_or_else(PoisonError::into_inner))
}

/// The lab of thirteen hosts, whatever has been made of it.
pub(crate) fn lab() -> Turn {
    let turn = turn();
    drop(mk(&[]));
    turn
}

/// The labs that come before the control plane, in their order.
pub(crate) const TO_ETCD: [&str; 5] = [
    "playbooks/01-prerequisites.rhai",
    "playbooks/02-jumpbox.rhai",
    "playbooks/03-compute-resources.rhai",
    "playbooks/04-certificate-authority.rhai",
    "playbooks/07-etcd.rhai",
];

/// Whether this process has run those on the lab of thirteen.
static HAS_ETCD: AtomicBool = AtomicBool::new(false);

/// The lab of thirteen with nothing made on it by any of the labs. What the tests' own scripts made may be there.
pub(crate) fn bare() -> Turn {
    let turn = lab();
    let asked = r#"
        on("all", |host| {
            for thing in host.made() {
                let file = thing.by.split(":")[0];
                if !file.ends_with("/p.rhai") && file != "p.rhai" {
                    log("made by a lab: " + file);
                }
            }
        });
    "#;
    let made = well(script(asked, &[]));
    if made.all.contains("made by a lab: ") {
        let confirm = format!("confirm={}", cluster());
        well(run(&["-e", &confirm, CONFIRMED[2]]));
        HAS_ETCD.store(false, Ordering::Relaxed);
    }
    turn
}

/// The cluster's name, which confirms that it may go.
fn cluster() -> String {
    let text = std::fs::read_to_string(inventory().join("inventory.yml")).unwrap();
    regex_lite::Regex::new("cluster: ([^ ,}\n]+)").unwrap().captures(&text).unwrap()[1].to_owned()
}

/// The lab of thirteen with its cluster of etcd.
pub(crate) fn etcd() -> Turn {
    let turn = lab();
    if !HAS_ETCD.load(Ordering::Relaxed) {
        for playbook in TO_ETCD {
            well(run(&[playbook]));
        }
        has_etcd();
    }
    turn
}

/// Says that a test has brought that about itself.
pub(crate) fn has_etcd() {
    HAS_ETCD.store(true, Ordering::Relaxed);
}

/// The lab of thirteen with the whole cluster.
pub(crate) fn thirteen() -> Turn {
    let turn = lab();
    well(run(&["--resume", "playbooks/all.rhai"]));
    turn
}

/// The small lab with nothing of a cluster on it.
pub(crate) fn small_without_cluster() -> Turn {
    let turn = turn();
    drop(small(&[]));
    well(run_small(&CONFIRMED));
    turn
}

/// The small lab with the cluster as the playbooks make it.
pub(crate) fn small_cluster() -> Turn {
    let turn = turn();
    drop(small(&[]));
    built();
    turn
}

/// A lab that a file of tests has for itself. It is raised by the first of them, and goes down when the last of them is
/// over, whichever that is. One that is run alone leaves it up.
pub(crate) struct Own {
    tests: &'static str,
    left: OnceLock<AtomicUsize>,
    up: AtomicBool,
}

impl Own {
    /// That of the tests in this text.
    pub(crate) const fn of(tests: &'static str) -> Self {
        Self { tests, left: OnceLock::new(), up: AtomicBool::new(false) }
    }

    /// Has it up: `raise` is called where it is not.
    pub(crate) fn up(&'static self, raise: fn(), down: fn()) -> OwnTurn {
        let turn = turn();
        if !self.up.load(Ordering::Relaxed) {
            raise();
            self.up.store(true, Ordering::Relaxed);
        }
        OwnTurn { own: self, down, _turn: turn }
    }
}

/// The turn of a test that has such a lab.
pub(crate) struct OwnTurn {
    own: &'static Own,
    down: fn(),
    _turn: Turn,
}

impl Drop for OwnTurn {
    fn drop(&mut self) {
        let count = || AtomicUsize::new(self.own.tests.lines().filter(|line| *line == "#[test]").count());
        if self.own.left.get_or_init(count).fetch_sub(1, Ordering::Relaxed) == 1 {
            self.own.up.store(false, Ordering::Relaxed);
            // A second panic would end all tests.
            let went = std::panic::catch_unwind(self.down);
            assert!(went.is_ok() || std::thread::panicking(), "the lab does not go down");
        }
    }
}
