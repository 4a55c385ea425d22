//! Whether what was just started has settled.

use std::time::Duration;

use super::unit::Shown;
use crate::error::Result;
use crate::sys::Hands;

/// How long a unit that cannot say itself whether it is ready is watched at most.
const LONGEST: Duration = Duration::from_secs(1);
/// How long its processes must have slept for the watch to end before that.
const REST: Duration = Duration::from_millis(300);
const STEP: Duration = Duration::from_millis(50);
/// Where control groups are: of version 2, or those that systemd keeps beside version 1.
const ROOTS: [&str; 2] = ["/sys/fs/cgroup", "/sys/fs/cgroup/systemd"];

/// Waits until the processes of a unit sleep, or are gone, at most [`LONGEST`]: one that works, or waits for the disk,
/// is still starting and can still fall. Where that cannot be seen, it waits that long.
///
/// # Errors
/// When the run is over.
pub(super) fn wait(hands: &Hands, shown: &Shown) -> Result {
    let (mut waited, mut rested) = (Duration::ZERO, Duration::ZERO);
    let Some(mut before) = Processes::of(shown.control_group()) else { return hands.pause(LONGEST) };
    while waited < LONGEST && rested < REST {
        hands.pause(STEP)?;
        waited += STEP;
        // systemd removes the group of what is over.
        let Some(now) = Processes::of(shown.control_group()) else { return Ok(()) };
        rested = if now.asleep && now == before { rested + STEP } else { Duration::ZERO };
        before = now;
    }
    Ok(())
}

/// The processes of a control group.
#[derive(PartialEq, Eq)]
struct Processes {
    pids: String,
    /// The processor time they have used, in the kernel's ticks: clocks of their own, which many runtimes have, take
    /// less than one.
    used: u64,
    /// Whether none works or waits for the disk.
    asleep: bool,
}

impl Processes {
    fn of(group: &str) -> Option<Self> {
        let read = |root| std::fs::read_to_string(format!("{root}{group}/cgroup.procs")).ok();
        let pids = ROOTS.into_iter().find_map(read)?;
        let (mut used, mut asleep) = (0, !pids.is_empty());
        for pid in pids.lines() {
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            // The name before it, in parentheses, can have any character. proc(5): state, then user time as the
            // twelfth and system time as the thirteenth word.
            let words: Vec<&str> = stat.rsplit_once(") ").unwrap_or_default().1.split(' ').collect();
            asleep &= words.first() == Some(&"S");
            used += words.iter().skip(11).take(2).filter_map(|ticks| ticks.parse::<u64>().ok()).sum::<u64>();
        }
        Some(Self { pids, used, asleep })
    }
}
