//! The throttle of an `on`: whose turn it is, in their order, so many at a time, and not too many of one group.

use std::collections::BTreeMap;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Who waits and who runs, by their places in the list of hosts.
struct Waiters {
    waiting: Vec<usize>,
    /// How many run of each group.
    running: BTreeMap<String, usize>,
}

/// The turns of a list of hosts, taken by several threads.
pub(crate) struct HostThrottle {
    groups: Vec<String>,
    /// How many of a group may run at once.
    most: usize,
    state: Mutex<Waiters>,
    freed: Condvar,
}

impl HostThrottle {
    /// The turns of hosts of these groups, `most` of each at once.
    pub(crate) fn new(groups: Vec<String>, most: usize) -> Self {
        let state = Waiters { waiting: (0..groups.len()).collect(), running: BTreeMap::new() };
        Self { groups, most: most.max(1), state: Mutex::new(state), freed: Condvar::new() }
    }

    /// The next one, as soon as its group has room; `None` when all have had their turn.
    pub(crate) fn next(&self) -> Option<Turn<'_>> {
        let mut state = self.lock();
        loop {
            if state.waiting.is_empty() {
                return None;
            }
            let has_room =
                |index: &usize| state.running.get(&self.groups[*index]).is_none_or(|count| *count < self.most);
            if let Some(at) = state.waiting.iter().position(has_room) {
                let index = state.waiting.remove(at);
                *state.running.entry(self.groups[index].clone()).or_default() += 1;
                return Some(Turn { throttle: self, index });
            }
            state = self.freed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn done(&self, index: usize) {
        if let Some(count) = self.lock().running.get_mut(&self.groups[index]) {
            *count -= 1;
        }
        self.freed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, Waiters> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One host's turn, over when this is dropped, whatever became of it.
pub(crate) struct Turn<'a> {
    throttle: &'a HostThrottle,
    /// The host's place in the list.
    pub(crate) index: usize,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.throttle.done(self.index);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn throttle(groups: &[&str], most: usize) -> HostThrottle {
        HostThrottle::new(groups.iter().map(|group| (*group).to_owned()).collect(), most)
    }

    #[test]
    fn who_waits_for_its_own_group_keeps_nobody_of_another_back() {
        let throttle = throttle(&["a", "a", "a", "b", "b"], 2);
        let mut running: Vec<Turn> = (0..4).filter_map(|_| throttle.next()).collect();
        assert_eq!(running.iter().map(|turn| turn.index).collect::<Vec<_>>(), [0, 1, 3, 4]);
        running.truncate(1);
        let last = throttle.next();
        assert_eq!(last.as_ref().map(|turn| turn.index), Some(2));
        assert!(throttle.next().is_none());
    }

    #[test]
    fn no_more_of_a_group_run_at_once_than_may_and_all_get_their_turn() {
        let groups: Vec<String> = (0..30).map(|index| format!("{}", index % 3)).collect();
        let throttle = HostThrottle::new(groups, 2);
        let seen = Mutex::new((BTreeMap::<usize, usize>::new(), BTreeMap::<usize, usize>::new(), 0));
        std::thread::scope(|scope| {
            for _ in 0..12 {
                scope.spawn(|| {
                    while let Some(turn) = throttle.next() {
                        let index = turn.index;
                        let mut now = seen.lock().unwrap();
                        let count = now.0.entry(index % 3).or_default();
                        *count += 1;
                        let count = *count;
                        let most = now.1.entry(index % 3).or_default();
                        *most = count.max(*most);
                        now.2 += 1;
                        drop(now);
                        std::thread::sleep(std::time::Duration::from_millis(5));
                        *seen.lock().unwrap().0.get_mut(&(index % 3)).unwrap() -= 1;
                    }
                });
            }
        });
        let seen = seen.into_inner().unwrap();
        assert_eq!((seen.1, seen.2), (BTreeMap::from([(0, 2), (1, 2), (2, 2)]), 30));
    }
}
