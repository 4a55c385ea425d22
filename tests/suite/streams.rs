//! Where mk prints to: a reader that goes away, a terminal, a pipe.

use std::process::Stdio;

use crate::support::Place;

/// Runs mk with a standard output, and where asked a standard error, whose reader is gone before anything is written.
fn unread(place: &Place, args: &[&str], both: bool) -> (Option<i32>, String) {
    let gone = || {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        Stdio::from(writer)
    };
    let mut command = place.command(args);
    command.stdout(gone()).stderr(if both { gone() } else { Stdio::piped() });
    let output = command.spawn().unwrap().wait_with_output().unwrap();
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn a_reader_that_goes_away_is_no_fault() {
    let place = Place::new();
    place.file(
        "inventory.yml",
        "groups:\n  web: { hosts: ['web-[1..3]'] }\nhosts:\n  'web-[1..3]': { vars: { a: 1 } }\n",
    );
    place.file(
        "p.rhai",
        "for n in 0..2000 { log(`line ${n}`); }\nlocal().copy(\"DONE\", #{ content: \"x\" });\n"
            .replace("DONE", &place.path().join("done").display().to_string())
            .as_str(),
    );
    place.file("wrong.rhai", "lgo(1);\n");
    let commands: &[(&[&str], i32)] = &[
        (&["doc"], 0),
        (&["doc", "copy"], 0),
        (&["--help"], 0),
        (&["completions", "bash"], 0),
        (&["inventory", "-i", "inventory.yml"], 0),
        (&["inventory", "-i", "inventory.yml", "--json"], 0),
        (&["vars", "web-1", "-i", "inventory.yml"], 0),
        (&["facts", "local"], 0),
        (&["do", "local", "run", "id"], 0),
        (&["lint", "wrong.rhai"], 2),
        (&["lint", "wrong.rhai", "--json"], 2),
        (&["run", "p.rhai", "--json"], 0),
        (&["run", "p.rhai"], 0),
        (&["run", "wrong.rhai"], 2),
        (&["run", "nowhere.rhai"], 2),
    ];
    for (args, code) in commands {
        let (ended, said) = unread(&place, args, false);
        assert_eq!(ended, Some(*code), "{args:?}: {said}");
        assert!(!said.contains("panicked"), "{args:?}: {said}");
        assert_eq!(unread(&place, args, true).0, Some(*code), "{args:?}, standard error closed too");
    }
    // What a run does for its hosts does not depend on who watches.
    assert!(place.path().join("done").exists());
}

/// Runs mk on a terminal of its own, and gives what that shows, codes and all.
pub(crate) fn on_a_terminal(place: &Place, args: &str, environment: &[(&str, &str)]) -> String {
    let mut script = place.command(&[]);
    let mk = script.get_program().to_string_lossy().into_owned();
    let mut command = std::process::Command::new("script");
    command.args(["-qec", &format!("{mk} {args}"), "/dev/null"]).current_dir(place.path()).env_clear();
    for (name, value) in script.env("TERM", "xterm").get_envs() {
        command.env(name, value.unwrap());
    }
    command.envs(environment.iter().copied()).stdin(std::process::Stdio::null());
    let output = command.output().unwrap_or_else(|e| panic!("`script` of util-linux is needed: {e}"));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn a_terminal_shows_the_step_that_runs_and_every_line_whole() {
    let place = Place::new();
    place.file(
        "p.rhai",
        r#"
            let here = local();
            here.run(["sleep", "2.5"]);
            here.run(["false"]);
        "#,
    );
    let shown = on_a_terminal(&place, "run p.rhai", &[]);
    assert!(shown.contains("running      local          run sleep 2.5 ["), "{shown:?}");
    assert!(shown.contains("\u{1b}[33mchanged     \u{1b}[0m local          run sleep 2.5"), "{shown:?}");
    assert!(shown.contains("\u{1b}[31merror\u{1b}[0m"), "{shown:?}");
    let plain = on_a_terminal(&place, "run p.rhai", &[("NO_COLOR", "1"), ("TERM", "dumb")]);
    assert!(!plain.contains('\u{1b}'), "{plain:?}");
    assert!(!place.mk(&["run", "p.rhai"]).stdout.contains('\u{1b}'));
}

/// What a terminal shows in the end, line by line, after what was written to it.
fn screen(written: &str) -> Vec<String> {
    let (mut lines, mut row, mut column) = (vec![Vec::<char>::new()], 0, 0);
    let mut chars = written.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\r' => column = 0,
            '\n' => {
                (row, column) = (row + 1, 0);
                lines.resize(lines.len().max(row + 1), Vec::new());
            }
            '\u{1b}' => {
                assert_eq!(chars.next(), Some('['), "{written:?}");
                let mut code = String::new();
                while let Some(c) = chars.next_if(|c| c.is_ascii_digit() || ";?".contains(*c)) {
                    code.push(c);
                }
                let count = code.parse::<usize>().unwrap_or(1);
                match chars.next() {
                    Some('A') => row = row.saturating_sub(count),
                    Some('B') => {
                        row += count;
                        lines.resize(lines.len().max(row + 1), Vec::new());
                    }
                    Some('K') if code == "2" => lines[row].clear(),
                    Some('K') => lines[row].truncate(column),
                    Some('J') if code.is_empty() || code == "0" => {
                        lines[row].truncate(column);
                        lines.truncate(row + 1);
                    }
                    Some('m' | 'h' | 'l') => {}
                    other => panic!("{code}{other:?} in {written:?}"),
                }
            }
            c => {
                let line = &mut lines[row];
                line.resize(line.len().max(column + 1), ' ');
                line[column] = c;
                column += 1;
            }
        }
    }
    lines.into_iter().map(|line| line.into_iter().collect::<String>().trim_end().to_owned()).collect()
}

#[test]
fn what_ran_is_gone_from_the_screen_when_the_run_is_over() {
    let place = Place::new();
    place.file(
        "p.rhai",
        r#"
            let here = local();
            here.run(["sleep", "0.7"]);
            log("between");
            here.run(["sleep", "0.6"]);
        "#,
    );
    let written = on_a_terminal(&place, "run p.rhai", &[]);
    assert!(written.contains("running      local          run sleep 0.7"), "{written:?}");
    // A step that has ended is never drawn again.
    let ended = written.find("changed ").unwrap();
    assert!(!written[ended..].contains("running      local          run sleep 0.7"), "{written:?}");
    let took = regex_lite::Regex::new(r" \[[0-9.]+ s\]").unwrap();
    let times = regex_lite::Regex::new(r"[0-9.]+ (ms|s)\b").unwrap();
    let left: Vec<String> = screen(&written)
        .iter()
        .map(|line| times.replace_all(&took.replace_all(line, ""), "TIME").into_owned())
        .collect();
    let left: Vec<&str> = left.iter().map(String::as_str).filter(|line| !line.is_empty()).collect();
    let wanted = [
        "changed      local          run sleep 0.7",
        "             between",
        "changed      local          run sleep 0.6",
        "recap of 1 host, 2 steps in TIME",
        "  local          ok 0  changed 2",
    ];
    assert_eq!(left, wanted, "{written:?}");
}

#[test]
fn a_report_is_one_page_with_steps_diffs_and_faults_and_no_secret() {
    let place = Place::new();
    let canary = "canary-9c1e-in-the-mine";
    place.file("pw", canary);
    let folder = place.path().display();
    place.file(
        "p.rhai",
        &format!(
            r#"
                let s = secret("file:pw");
                let here = local();
                task("files", || {{
                    here.copy("{folder}/out", #{{ content: "<b>&\n" }});
                    here.copy("{folder}/pw2", #{{ content: s + "\n", mode: "0600" }});
                }});
                warn("mind " + s);
                here.run(["cat", "{folder}/pw2"]);
                here.shell("cat {folder}/pw2 >&2; exit 3");
            "#
        ),
    );
    let output = place
        .command(&["run", "p.rhai", "--report", "r.html", "--log", "mk.log"])
        .env("MK_LOG", "trace")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stderr));
    let read = |name: &str| std::fs::read_to_string(place.path().join(name)).unwrap();
    let page = read("r.html");
    assert!(page.starts_with("<!doctype html>") && page.contains("<title>mk run p.rhai</title>"), "{page}");
    assert!(page.contains(&format!("copy {folder}/out")) && page.contains("+&lt;b&gt;&amp;"), "{page}");
    assert!(page.contains("content differs (secret)"), "{page}");
    assert!(page.contains("<td>files<td>") && page.contains("<i class=\"failed\""), "{page}");
    assert!(page.contains("error: `/bin/sh` exited with status 3") || page.contains("exited with status 3"), "{page}");
    assert!(page.contains("mind [secret]"), "{page}");
    // Nothing is fetched from anywhere.
    assert!(!page.contains("<script") && !page.contains("http") && !page.contains("<link"), "{page}");
    let log = read("mk.log");
    for wanted in [
        "run started",
        "mk::fleet: connecting",
        "mk::wire: frame sent",
        "connected host=\"local\"",
        "step done",
        "step failed",
        "said",
    ] {
        assert!(log.contains(wanted), "no `{wanted}`: {log}");
    }
    for (name, text) in [("page", &page), ("log", &log)] {
        assert!(!text.contains(canary) && !text.contains("canary") && !text.contains('\u{10f100}'), "{name}: {text}");
        assert!(!text.contains("Y2FuYXJ5LTljMWUtaW4tdGhlLW1pbm"), "{name}: {text}");
    }
    let mode = std::fs::metadata(place.path().join("r.html")).unwrap();
    assert_eq!(std::os::unix::fs::PermissionsExt::mode(&mode.permissions()) & 0o777, 0o600);
    // The usual log has no frames, and a filter that cannot be read is told before anything runs.
    place.file("q.rhai", "local().run([\"true\"]);");
    assert_eq!(place.mk(&["run", "q.rhai", "--log", "usual.log"]).code, 0);
    assert!(read("usual.log").contains("step done") && !read("usual.log").contains("frame sent"));
    let output = place.command(&["run", "q.rhai", "--log", "x.log"]).env("MK_LOG", "a=b=c").output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("`MK_LOG` is no filter: `a=b=c`"));
}
