//! Every parameter that can hold a secret, and what is done with one in it.
//!
//! The scripts are for any host: the suite runs them on a machine of its own, and the lab on a real one, whose journal is
//! read afterwards.

/// One parameter with a secret in it.
pub(crate) struct Row {
    /// The operation.
    pub op: &'static str,
    /// Its parameter.
    pub parameter: &'static str,
    /// The secret's text.
    text: &'static str,
    /// Makes the host what it is to be before the step.
    before: &'static str,
    /// The step that comes well.
    pub step: &'static str,
    /// One that fails.
    pub fails: &'static str,
    /// How the step ends: in a check, when it is run, when it is run again, and in a check after that.
    pub ends: [&'static str; 4],
}

/// A state is made, and is there the second time.
const MAKES: [&str; 4] = ["would_change", "changed", "ok", "ok"];
/// A program is run every time.
const RUNS: [&str; 4] = ["would_run", "changed", "changed", "would_run"];
/// A look at the host.
const LOOKS: [&str; 4] = ["read"; 4];
/// No text that is a secret can be right there.
const NEVER: [&str; 4] = ["failed"; 4];

/// A text with letters that quoting and encoding change. `NN` is the row's number, so that what is found tells its row.
const TEXT: &str = "canaryNN'9c1e\"in<the>mine";
/// A text that can be a name.
const NAME: &str = "canaryNN-9c1e";

/// A file in which the secret is the line that a pattern looks for.
const ANCHOR: &str = r#"host.copy("DIR/f", #{ content: "first\n" + s + "\nlast\n" });"#;

const fn row(
    op: &'static str,
    parameter: &'static str,
    text: &'static str,
    [before, step, fails]: [&'static str; 3],
    ends: [&'static str; 4],
) -> Row {
    Row { op, parameter, text, before, step, fails, ends }
}

/// All of them. `s` is the secret; `DIR` is a folder of the row's own on the host, `TOP` the folder above it, which has
/// the program `dump`, and `LOOK` has that run; at `PORT` somebody answers.
#[rustfmt::skip]
pub(crate) const ROWS: &[Row] = &[
    row("authorized_key", "key", "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIcanaryNNWqJ5cXmYQ0m0sZ7m3a2m6q4T8b6iQ1k0V3fC me@canaryNN", [
        r#"host.dir("DIR/home"); host.line("/etc/passwd", #{ line: "mkrowNN:x:42NN:42NN::DIR/home:/bin/sh" });"#,
        r#"host.authorized_key("mkrowNN", #{ key: s });"#,
        r#"host.authorized_key("mkrowNN", #{ key: "x" + s });"#,
    ], MAKES),
    row("block", "path", TEXT, [
        "",
        r#"host.block("DIR/" + s, #{ name: "b", content: "x", create: true });"#,
        r#"host.block("DIR/no/" + s, #{ name: "b", content: "x", create: true });"#,
    ], MAKES),
    row("block", "name", TEXT, [
        "",
        r#"host.block("DIR/f", #{ name: s, content: "x", create: true, LOOK });"#,
        r#"host.block("DIR/f", #{ name: s, content: "y", create: true, FALLS });"#,
    ], MAKES),
    row("block", "content", TEXT, [
        "",
        r#"host.block("DIR/f", #{ name: "b", content: s, create: true, LOOK });"#,
        r#"host.block("DIR/f", #{ name: "b", content: "x" + s, create: true, FALLS });"#,
    ], MAKES),
    row("block", "marker", TEXT, [
        "",
        r##"host.block("DIR/f", #{ name: "b", content: "x", marker: "# {mark} " + s, create: true, LOOK });"##,
        r##"host.block("DIR/f", #{ name: "b", content: "y", marker: "# {mark} " + s, create: true, FALLS });"##,
    ], MAKES),
    row("block", "after", TEXT, [
        ANCHOR,
        r#"host.block("DIR/f", #{ name: "b", content: "x", after: s, LOOK });"#,
        r#"host.block("DIR/f", #{ name: "b", content: "x", after: "(" + s });"#,
    ], MAKES),
    row("block", "before", TEXT, [
        ANCHOR,
        r#"host.block("DIR/f", #{ name: "b", content: "x", before: s, LOOK });"#,
        r#"host.block("DIR/f", #{ name: "b", content: "x", before: "(" + s });"#,
    ], MAKES),
    row("copy", "dest", TEXT, [
        "",
        r#"host.copy("DIR/" + s, #{ content: "x" });"#,
        r#"host.copy("DIR/no/" + s, #{ content: "x" });"#,
    ], MAKES),
    row("copy", "content", TEXT, [
        "",
        r#"host.copy("DIR/f", #{ content: s, mode: "0600", LOOK });"#,
        r#"host.copy("DIR/f", #{ content: "x" + s, FALLS });"#,
    ], MAKES),
    row("dir", "path", TEXT, [
        r#"host.file("DIR/f");"#,
        r#"host.dir("DIR/" + s);"#,
        r#"host.dir("DIR/f/" + s);"#,
    ], MAKES),
    row("etc_hosts", "name", TEXT, [
        "",
        r#"host.etc_hosts(s, #{ entries: [#{ ip: "192.0.2.1", names: ["a"] }], path: "DIR/hosts" });"#,
        r#"host.etc_hosts(s, #{ entries: [#{ ip: "192.0.2.1", names: ["a"] }], path: "DIR/no/hosts" });"#,
    ], MAKES),
    row("etc_hosts", "entries", NAME, [
        "",
        r#"host.etc_hosts("e", #{ entries: [#{ ip: "192.0.2.1", names: [s] }], path: "DIR/hosts" });"#,
        r#"host.etc_hosts("e", #{ entries: [#{ ip: s, names: ["a"] }], path: "DIR/hosts" });"#,
    ], MAKES),
    row("etc_hosts", "entries", "198.51.100.2NN", [
        "",
        r#"host.etc_hosts("e", #{ entries: [#{ ip: s, names: ["a"] }], path: "DIR/hosts" });"#,
        r#"host.etc_hosts("e", #{ entries: [#{ ip: s + "x", names: ["a"] }], path: "DIR/hosts" });"#,
    ], MAKES),
    row("etc_hosts", "own_name", NAME, [
        r#"host.copy("DIR/hosts", #{ content: "127.0.1.1 " + s + "\n" });"#,
        r#"host.etc_hosts("e", #{ entries: [#{ ip: "192.0.2.1", names: ["a"] }], own_name: s, path: "DIR/hosts" });"#,
        r#"host.etc_hosts("e", #{ entries: [#{ ip: "192.0.2.1", names: ["a"] }], own_name: s, path: "DIR/no/hosts" });"#,
    ], MAKES),
    row("etc_hosts", "path", TEXT, [
        "",
        r#"host.etc_hosts("e", #{ entries: [#{ ip: "192.0.2.1", names: ["a"] }], path: "DIR/" + s });"#,
        r#"host.etc_hosts("e", #{ entries: [#{ ip: "192.0.2.1", names: ["a"] }], path: "DIR/no/" + s });"#,
    ], MAKES),
    row("file", "path", TEXT, [
        "",
        r#"host.file("DIR/" + s);"#,
        r#"host.file("DIR/no/" + s);"#,
    ], MAKES),
    row("file", "target", TEXT, [
        "",
        r#"host.file("DIR/l", #{ state: "link", target: s });"#,
        r#"host.file("DIR/no/l", #{ state: "link", target: s });"#,
    ], MAKES),
    row("line", "path", TEXT, [
        "",
        r#"host.line("DIR/" + s, #{ line: "x", create: true });"#,
        r#"host.line("DIR/no/" + s, #{ line: "x", create: true });"#,
    ], MAKES),
    row("line", "line", TEXT, [
        "",
        r#"host.line("DIR/f", #{ line: s, create: true, LOOK });"#,
        r#"host.line("DIR/f", #{ line: "x" + s, create: true, FALLS });"#,
    ], MAKES),
    row("line", "matching", TEXT, [
        ANCHOR,
        r#"host.line("DIR/f", #{ line: "added", matching: s, LOOK });"#,
        r#"host.line("DIR/f", #{ line: "added", matching: "(" + s });"#,
    ], MAKES),
    row("line", "after", TEXT, [
        ANCHOR,
        r#"host.line("DIR/f", #{ line: "added", after: s, LOOK });"#,
        r#"host.line("DIR/f", #{ line: "more", after: "(" + s });"#,
    ], MAKES),
    row("line", "before", TEXT, [
        ANCHOR,
        r#"host.line("DIR/f", #{ line: "added", before: s, LOOK });"#,
        r#"host.line("DIR/f", #{ line: "more", before: "(" + s });"#,
    ], MAKES),
    row("raw", "stdin", TEXT, [
        r#"host.copy("DIR/out", #{ content: s });"#,
        r#"host.raw("cat > DIR/out; sh TOP/dump", #{ stdin: s });"#,
        r#"host.raw("cat; base64 DIR/out >&2; od -An -tx1 DIR/out | tr -d ' '; sleep 20", #{ stdin: s, timeout: "200ms" });"#,
    ], RUNS),
    row("run", "stdin", TEXT, [
        r#"host.copy("DIR/out", #{ content: s });"#,
        r#"host.run(["sh", "-c", "cat > DIR/out; sh TOP/dump"], #{ stdin: s });"#,
        r#"host.run(["sh", "-c", "cat; base64 DIR/out >&2; od -An -tx1 DIR/out | tr -d ' '; exit 3"], #{ stdin: s });"#,
    ], RUNS),
    row("run", "stdin", TEXT, [
        "",
        r#"host.run(["true"], #{ notify: later("copy", "DIR/told", #{ content: s, LOOK }) });"#,
        r#"host.run(["false"], #{ notify: later("copy", "DIR/told", #{ content: s }) });"#,
    ], RUNS),
    row("shell", "stdin", TEXT, [
        r#"host.copy("DIR/out", #{ content: s });"#,
        r#"host.shell("cat > DIR/out; sh TOP/dump", #{ stdin: s });"#,
        r#"host.shell("cat; base64 DIR/out >&2; od -An -tx1 DIR/out | tr -d ' '; exit 3", #{ stdin: s });"#,
    ], RUNS),
    row("sysctl", "name", "net.canaryNN.none", [
        "",
        r#"host.sysctl(s, #{ value: 1, file: "DIR/x.conf" });"#,
        r#"host.sysctl(s, #{ value: 1, keep: false });"#,
    ], NEVER),
    row("sysctl", "value", NAME, [
        r#"host.shell("echo none > /proc/sys/kernel/domainname");"#,
        r#"host.sysctl("kernel.domainname", #{ value: s, file: "DIR/x.conf" });"#,
        r#"host.sysctl("kernel.pid_max", #{ value: s, keep: false });"#,
    ], MAKES),
    row("sysctl", "file", TEXT, [
        "",
        r#"let now = host.run(["cat", "/proc/sys/kernel/pid_max"], #{ reads: true }).stdout; host.sysctl("kernel.pid_max", #{ value: now, file: "DIR/" + s });"#,
        r#"host.sysctl("kernel.no_such", #{ value: 1, file: "DIR/" + s });"#,
    ], MAKES),
    row("template", "dest", TEXT, [
        "",
        r#"host.template("DIR/" + s, #{ src: "t.j2", vars: #{ pw: "x" } });"#,
        r#"host.template("DIR/no/" + s, #{ src: "t.j2", vars: #{ pw: "x" } });"#,
    ], MAKES),
    row("template", "vars", TEXT, [
        "",
        r#"host.template("DIR/f", #{ src: "t.j2", vars: #{ pw: s }, LOOK });"#,
        r#"host.template("DIR/f", #{ src: "t.j2", vars: #{ pw: "x" + s }, FALLS });"#,
    ], MAKES),
    row("user", "password_hash", "$6$canaryNN$9c1eZ7m3a2m6q4T8b6iQ1k0V3fC9c1eZ7m3a2m6q4T8b6iQ1k0V3fC9c1eZ7m3a2m6q4T8b6iQ1k0V3", [
        r#"host.shell("userdel mkrow; userdel mkfails; true");"#,
        r#"host.user("mkrow", #{ password_hash: s, system: true, create_home: false });"#,
        r#"host.user("mkfails", #{ password_hash: s, system: true, create_home: false });"#,
    ], MAKES),
    row("wait", "port", "127.0.0.1:PORT", [
        "",
        r#"host.wait(#{ port: s });"#,
        r#"host.wait(#{ port: s, absent: true, timeout: "50ms", interval: "20ms" });"#,
    ], LOOKS),
    row("wait", "file", TEXT, [
        r#"host.file("DIR/" + s);"#,
        r#"host.wait(#{ file: "DIR/" + s });"#,
        r#"host.wait(#{ file: "DIR/no/" + s, timeout: "50ms", interval: "20ms" });"#,
    ], LOOKS),
    row("wait", "http", "http://127.0.0.1:PORT/canaryNN?9c1e", [
        "",
        r#"host.wait(#{ http: s });"#,
        r#"host.wait(#{ http: s, status: 500, timeout: "50ms", interval: "20ms" });"#,
    ], LOOKS),
];

/// Where the rows are run.
pub(crate) struct Host<'a> {
    /// Its name in the inventory.
    pub name: &'a str,
    /// A folder on it, which it has.
    pub top: &'a str,
    /// Where somebody answers on it.
    pub port: u16,
}

impl Host<'_> {
    /// The rows' secrets, in their order.
    pub(crate) fn texts(&self) -> Vec<String> {
        ROWS.iter().enumerate().map(|(number, row)| self.filled(row.text, number)).collect()
    }

    /// A playbook that makes everything what it is to be before.
    pub(crate) fn before(&self) -> String {
        self.playbook(|row| format!("host.dir(\"DIR\", #{{ state: \"absent\" }}); host.dir(\"DIR\"); {}", row.before))
    }

    /// A playbook with one of the two steps of each row, each in a task of its own.
    pub(crate) fn playbook(&self, step: impl Fn(&Row) -> String) -> String {
        let mut text = format!("on(\"{}\", |host| {{\n", self.name);
        for (number, row) in ROWS.iter().enumerate() {
            let body = format!(
                "task(\"{} {} NN\", || {{\n    let s = secret(\"file:texts/NN\");\n    let well = false;\n    \
                 try {{ {}; well = true; }} catch (e) {{ log(e.message); }}\n    if well {{ log(\"NN came well\"); }}\n}});\n",
                row.op,
                row.parameter,
                step(row).trim_end().trim_end_matches(';'),
            );
            text += &self.filled(&body, number);
        }
        text + "});\n"
    }

    /// A row's text or script, with the words that stand for something replaced.
    fn filled(&self, text: &str, number: usize) -> String {
        let number = format!("{number:02}");
        text.replace("LOOK", "validate: [\"sh\", \"TOP/dump\", \"%s\"]")
            .replace("FALLS", "validate: [\"sh\", \"-c\", \"cat %s; base64 %s >&2; exit 3\"]")
            .replace("DIR", "TOP/NN")
            .replace("NN", &number)
            .replace("PORT", &self.port.to_string())
            .replace("TOP", self.top)
    }
}
