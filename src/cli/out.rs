//! Printing what a command answers. A reader that went away (`mk doc | head`) is no fault: the command goes on to
//! its end and gives its own exit code. The standard macros would panic.

use std::io::Write;

/// Prints a line on standard output.
macro_rules! say {
    ($($part:tt)*) => { $crate::cli::out::put(&mut std::io::stdout(), &(format!($($part)*) + "\n")) };
}

/// Prints a line on standard error.
macro_rules! complain {
    () => { $crate::cli::out::put(&mut std::io::stderr(), "\n") };
    ($($part:tt)*) => { $crate::cli::out::put(&mut std::io::stderr(), &(format!($($part)*) + "\n")) };
}

pub(super) use {complain, say};

/// Prints text as it stands.
pub(super) fn put(out: &mut impl Write, text: &str) {
    let _ = out.write_all(text.as_bytes());
    let _ = out.flush();
}
