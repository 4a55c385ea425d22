//! What mk runs on a host. It speaks frames on its standard input and output and nothing else.

use std::process::ExitCode;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let result = match words.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        [] => serve(),
        ["--as", user] => mk::agent::become_user(user).and_then(|()| serve()),
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

fn serve() -> mk::error::Result {
    mk::agent::serve(std::io::stdin(), std::io::stdout())
}
