//! What mk runs on a host. It speaks frames on its standard input and output and nothing else.

use std::process::ExitCode;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let result = match words.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        [] => serve(true),
        ["--as", user] => mk::agent::become_user(user).and_then(|()| serve(false)),
        // Run right after it was copied: shows that this directory allows programs to run.
        ["--probe"] => return ExitCode::SUCCESS,
        _ => return ExitCode::from(2),
    };
    if let Err(e) = result {
        eprintln!("mk-agent: {e}");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

/// Whether it is the host's own agent, or one for another user below it.
fn serve(of_host: bool) -> mk::error::Result {
    mk::agent::serve(std::io::stdin(), std::io::stdout(), of_host)
}
