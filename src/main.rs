//! `mk`, the control side.

use std::process::ExitCode;

fn main() -> ExitCode {
    mk::cli::main()
}
