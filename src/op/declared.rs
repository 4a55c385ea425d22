//! What an operation declares of itself, for the control side to judge calls by.

/// What of an operation's parameters gets into the arguments or the environment of programs that it runs. Both show: to
/// every user of the host, and in its journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(not(feature = "control"), allow(dead_code))]
pub enum Shows {
    /// Nothing; it runs none.
    Nothing,
    /// All of them may.
    All,
    /// All of them may but these.
    AllBut(&'static [&'static str]),
}

#[cfg(feature = "control")]
impl Shows {
    /// Whether a parameter of this name may get there.
    pub(crate) fn parameter(self, name: &str) -> bool {
        match self {
            Self::Nothing => false,
            Self::All => true,
            Self::AllBut(kept) => !kept.contains(&name),
        }
    }
}

/// How the call that takes a thing away, which an operation made, differs from the call that made it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(not(feature = "control"), allow(dead_code))]
pub enum Removal {
    /// There is none: it makes no things, or nothing but files and directories.
    None,
    /// Its `state` is `"absent"`.
    Absent,
    /// This parameter is an empty list.
    Empty(&'static str),
    /// It undoes one of the settings of a unit, and says nothing else.
    UnitSetting,
}
