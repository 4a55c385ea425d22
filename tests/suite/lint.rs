//! `mk lint`: seeded mistakes, each found at its place; and nothing found in the tree itself.

use std::path::Path;

use crate::support::Place;

const INVENTORY: &str = "vars: { colour: red }\ngroups:\n  controllers: { hosts: ['controller-[1..3]'] }\nhosts:\n  'controller-[1..3]': { vars: { node_ip: 10.0.0.1 } }\n";

const MODULE: &str = r#"
    //! A module.
    export const PORT = 1;
    const INNER = 2;
    fn url(host) { host + hidden() }
    private fn hidden() { 3 }
"#;

/// A script with one mistake, the place of it, and what is said.
const MISTAKES: &[(&str, &str, &str)] = &[
    ("let x = 1;\nlet y = ;", "2:9", "unexpected ';'"),
    ("log(nowhere);", "1:5", "there is no variable `nowhere`"),
    ("let match = 1;", "1:5", "`match` is a reserved word"),
    ("fn f(h) {\n    lgo(h);\n}", "2:5", "there is no function `lgo`"),
    ("on(\"all\", |h| h.coyp(\"/x\"));", "1:17", "there is no function `coyp`"),
    ("assert(true);", "1:1", "`assert` takes 2 values, not 1"),
    ("fn f(a, b) { a + b }\nf(1);", "2:1", "`f` takes 2 values, not 1"),
    ("[1].map(1, 2, 3);", "1:5", "`map` takes"),
    ("import \"mine\" as m;\nm::ulr(1);", "2:4", "there is no function `m::ulr`"),
    ("import \"mine\" as m;\nm::url();", "2:4", "`m::url` takes 1 value, not 0"),
    ("import \"mine\" as m;\nm::hidden();", "2:4", "`m::hidden` is private to its module"),
    ("import \"mine\" as m;\nlog(m::PROT);", "2:8", "there is no variable `m::PROT`"),
    ("import \"mine\" as m;\nlog(m::INNER);", "2:8", "there is no variable `m::INNER`"),
    ("import \"mnie\" as m;", "1:8", "there is no module `mnie`"),
    (
        "let h = local();\nh.copy(\"/x\", #{\n  mode: \"0644\",\n  contents: \"hi\",\n});",
        "4:3",
        "copy: unknown field `contents`",
    ),
    ("local().copy(\"/x\", #{ content: file_text(\"f\"), mode: 644 });", "1:48", "copy: `mode`: invalid type"),
    ("local().copy(\"/x\", #{ content: \"a\", mode: \"9\" });", "1:37", "copy: `mode`: invalid value"),
    ("local().file(\"/x\", #{ state: \"lnk\" });", "1:23", "file: `state`: unknown variant `lnk`"),
    ("local().run(\"ls -l\");", "1:13", "run: `argv`: a list of words"),
    ("local().run([\"true\"], 3);", "1:23", "run: parameters after the subject stand in a map"),
    ("local().template(\"/x\");", "1:9", "template: missing field `src`"),
    ("local().copy(\"/x\", #{ src: \"f\", content: \"g\" });", "1:9", "copy: "),
    ("local().copy(\"/x\", #{ src: \"ff\" });", "1:28", "there is no file `ff`"),
    ("local().run([\"true\"], #{ retry: #{ attemps: 3 } });", "1:36", "run: unknown field `attemps` of `retry`"),
    ("let n = later(\"systmd\", \"x\");", "1:15", "there is no operation `systmd`"),
    ("let n = later(\"systemd\", \"x\", #{ stat: \"started\" });", "1:34", "systemd: unknown field `stat`"),
    ("on(\"controlers\", |h| h.name);", "1:4", "no host or group is called `controlers`"),
    ("log(hosts(\"all:!contoller-1\"));", "1:11", "no host or group is called `contoller-1`"),
    ("run_once([\"controllers\", \"nobody\"], |h| h.name);", "1:26", "no host or group is called `nobody`"),
    ("log(host(\"controller-4\"));", "1:10", "no host is called `controller-4`"),
    ("on(\"all\", #{ bacth: 1 }, |h| h.name);", "1:14", "on: unknown field `bacth`"),
    ("on(\"all\", #{ keep_going: 3 }, |h| h.name);", "1:14", "on: invalid type"),
    ("ca(\"x\", #{ cnn: \"x\" });", "1:12", "ca: unknown field `cnn`"),
    ("play(\"other.rhai\");", "1:6", "there is no file `other.rhai`"),
    ("play(\"played.rhai\");", "played.rhai:1:1", "there is no function `lgo`"),
    ("local().template(\"/x\", #{ src: \"broken.j2\" });", "broken.j2:2:", "unexpected end of block"),
    ("local().template(\"/x\", #{ src: \"t.j2\", vars: #{ member: 1 } });", "t.j2:2:4", "`members` is not defined"),
    // Fields of hosts, facts and outcomes.
    ("on(\"all\", |h| h.nmae);", "1:17", "a host has no `nmae`"),
    ("let h = local();\nlog(h.as_user(\"x\").nam);", "2:20", "a host has no `nam`"),
    ("on(\"all\", |h| h.facts.memory);", "1:23", "the outcome of `facts` has no `memory`"),
    ("let f = local().facts;\nlog(f.cpu);", "2:7", "the outcome of `facts` has no `cpu`"),
    ("let r = local().run([\"true\"]);\nlog(r.stdot);", "2:7", "the outcome of `run` has no `stdot`"),
    (
        "on(\"all\", |h| {\n  let r = h.copy(\"/x\", #{ content: \"x\" });\n  r.stdout\n});",
        "3:5",
        "the outcome of `copy` has no `stdout`",
    ),
    ("log(local().run([\"true\"]).rc);", "1:27", "the outcome of `run` has no `rc`"),
    // Variables of the inventory.
    ("on(\"all\", |h| h.vars.nod_ip);", "1:22", "no host has a variable `nod_ip`"),
    ("on(\"all\", |h| h.get(\"nod_ip\"));", "1:21", "no host has a variable `nod_ip`"),
    ("on(\"all\", |h| {\n  let v = h.vars;\n  log(v.nod_ip);\n});", "3:9", "no host has a variable `nod_ip`"),
    ("log(vars(\"color\"));", "1:10", "there is no variable `color` that holds for every host"),
    // Writes to what is outside.
    ("let n = 0;\non(\"all\", |h| { n += 1; });", "2:17", "the closure writes to `n`, which is outside of it"),
    ("let l = [];\non(\"all\", |h| { l.push(h.name); });", "2:17", "the closure writes to `l`, which is outside of it"),
    ("let m = #{};\non(\"all\", |h| { m[h.name] = 1; });", "2:17", "the closure writes to `m`, which is outside of it"),
    // Paths that are not absolute, beside what is computed.
    ("let m = \"0\" + \"644\";\nlocal().file(\"etc/motd\", #{ mode: m });", "2:14", "file: `path` must be absolute"),
    // Parameters that a variable holds.
    ("let p = #{ contents: \"x\" };\nlocal().copy(\"/x\", p);", "1:12", "copy: unknown field `contents`"),
    (
        "let p = #{ content: \"x\", mode: 644 };\non(\"all\", |h| h.copy(\"/x\", p));",
        "1:26",
        "copy: `mode`: invalid type",
    ),
    // Options and times.
    ("on(\"all\", #{ batch: \"x\" }, |h| h.name);", "1:14", "on: `batch` is a count such as 2 or a share"),
    ("on(\"all\", #{ order: \"random\" }, |h| h.name);", "1:14", "on: `order` is `inventory`, `reverse` or `sorted`"),
    ("on(\"all\", #{ pause: \"5 parsecs\" }, |h| h.name);", "1:14", "on: invalid value"),
    ("sleep(\"5x\");", "1:7", "sleep: invalid value"),
    ("local().run([\"true\"], #{ timeout: \"5 parsecs\" });", "1:26", "run: `timeout`: invalid value"),
    ("local().run([\"true\"], #{ retry: #{ attempts: 2, delay: \"soon\" } });", "1:49", "run: `retry.delay` is a time"),
    ("local().run([\"true\"], #{ retry: 10 });", "1:33", "run: `retry` is a map such as"),
    ("local().run([\"true\"], #{ notify: \"restart\" });", "1:34", "run: `notify` must be a step made by `later(…)`"),
    ("local().run([\"true\"], #{ changed: true });", "1:35", "run: `changed` must be a closure"),
    // Secrets and templates.
    ("let s = secret(\"file:nowhere\");", "1:16", "there is no file `nowhere`"),
    ("let s = secret(\"nowhere.age#key\");", "1:16", "there is no file `nowhere.age`"),
    (
        "local().template(\"/x\", #{ src: \"filters.j2\" });",
        "filters.j2:1:16",
        "templates have no filter or test `uper`",
    ),
    ("copy(\"/x\", #{ content: \"x\" });", "1:1", "`copy` is called without a host"),
    ("let s = `text\n`;\nwarn(s, 2);", "3:1", "`warn` takes 1 value, not 2"),
    ("let s = \" x \";\nlog(s.trim());", "2:7", "`trim` gives nothing"),
    ("let s = \" x \";\nlet t = s.trim();", "2:11", "`trim` gives nothing"),
    ("let s = \" x \";\nlog(`it is ${s.trim()}`);", "2:16", "`trim` gives nothing"),
    ("let s = \" x \";\nif s.trim() == \"x\" { log(1); }", "2:6", "`trim` gives nothing"),
    ("let s = \" x \";\nlog(s.trim().len());", "2:7", "`trim` gives nothing"),
    ("let l = [\" x \"].map(|s| s.trim());", "1:27", "`trim` gives nothing"),
    ("let n = \"a\";\nlet l = [\" x \"].map(|s| { log(n); s.trim() });", "2:37", "`trim` gives nothing"),
    ("let l = [2, 1];\nfor n in l.sort() { log(n); }", "2:12", "`sort` gives nothing"),
    ("fn f(list) { return list.reverse(); }", "1:26", "`reverse` gives nothing"),
    (
        "import \"mine\" as m;\nfn hidden() { 1 }\nm::url(|| hidden());",
        "3:11",
        "`hidden` would be that of the module `m`, which runs this closure",
    ),
    (
        r#"
            import "mine" as m;
            fn hidden() { 1 }
            let n = 1;
            m::url(|| {
                log(n);
                [1].map(|x| hidden())
            });
        "#,
        "6:17",
        "`hidden` would be that of the module `m`",
    ),
    (
        "import \"mine\" as m;\nfn hidden() { 1 }\nm::url(|x| [x].map(|y| hidden()));",
        "3:24",
        "`hidden` would be that of the module `m`",
    ),
    ("let nodes = [1];\nlog(node);", "2:5", "there is no variable `node`"),
];

#[test]
fn every_seeded_mistake_is_found_at_its_place_and_no_other() {
    for (script, at, says) in MISTAKES {
        let place = Place::new();
        place.file("inventory.yml", INVENTORY);
        place.file("mine.rhai", MODULE);
        place.file("played.rhai", "lgo(1);\n");
        place.file("f", "text\n");
        place.file("t.j2", "{# members #}\n{{ members }} {{ node_ip }} {{ host.name }} {{ other | default(1) }}\n");
        place.file("filters.j2", "{{ host.name | uper }}\n");
        place.file("broken.j2", "ok\n{% if %}\n");
        place.file("p.rhai", script);
        let ran = place.mk(&["lint", "p.rhai", "-i", "inventory.yml", "--json"]);
        let lines: Vec<serde_json::Value> = ran.stdout.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
        assert_eq!((ran.code, lines.len()), (2, 2), "{script}\n{}{}", ran.stdout, ran.stderr);
        let finding = &lines[0]["finding"];
        let wanted = if at.contains('.') { (*at).to_owned() } else { format!("p.rhai:{at}") };
        let found = &finding["place"];
        let found = format!("{}:{}:{}", found["file"].as_str().unwrap(), found["line"], found["column"]);
        let fits = if wanted.ends_with(':') { found.starts_with(&wanted) } else { found == wanted };
        assert!(fits, "{script}\nfound at {found}, wanted {wanted}");
        assert!(finding["message"].as_str().unwrap().starts_with(says), "{script}\n{finding}");
    }
}

#[test]
fn what_may_be_right_is_not_complained_of() {
    let place = Place::new();
    place.file("mine.rhai", MODULE);
    place.file("t.j2", "{% for m in members %}{{ m }}{{ loop.index }}{% endfor %}{{ anything }}{% if x is defined %}{{ x }}{% endif %}\n");
    place.file(
        "p.rhai",
        r#"
import "mine" as m;
const LIMIT = 3;
fn Host.greet(word) { this.run(["echo", word]) }
fn twice(x) { x * 2 }
let tools = #{ check: |n| n + 1, name: "x" };
log(tools.check(1) + twice(LIMIT) + m::PORT);
let name = "copy";
on("anyone", |host| {
    let args = #{ content: "x" };
    host.copy("/x", args);
    let whole = #{ dest: "/x", content: "x" };
    host.copy(whole);
    host.run(["a"] + [name], #{ ok: [0, -1], changed: |o| o.code == 0, retry: #{ attempts: 2, delay: "1s" } });
    host.as_user("root").run(["id"]).stdout.split('\n').map(|line| line.to_upper()).filter(|line| line.len() > 0);
    host.template("/y", #{ src: "t.j2", vars: #{ members: [1] } });
    for (item, index) in [1, 2] { host.dir(`/z/${item}/${index}`, #{ mode: () }); }
    try { fail("x"); } catch (e) { log(e.message); }
    switch host.name { "a" => log("a"), _ => warn("b") }
    let text = " x ";
    text.trim();
    let list = [2, 1];
    list.sort();
    [1, 2].for_each(|n| log(n));
    let of = #{ sort: |n| n };
    log(of.sort(1));
    let f = Fn("twice");
    let own = #{ content: "x" };
    own.more = 1;
    host.copy("/x", own);
    let r = host.run(["a"]);
    log(r.stdout + r.reason + r.status + host.facts.os.id + host.user);
    let r2 = if list.is_empty() { host.run(["a"]) } else { host.copy("/x", args) };
    log(r2.anything);
    host.vars.learned_here;
    host.learn("learned_here", 1);
    if "maybe" in host.vars { host.vars.maybe; }
    log(host.get("perhaps", 1) + vars("whatever", 2));
    let total = 0;
    for n in list { total += n; }
    f.call(2)
});
"#,
    );
    place.file("inventory.yml", "groups: { anyone: { hosts: [a] } }\nhosts: { a: }\n");
    for more in [&[][..], &["-i", "inventory.yml", "-e", "anything=1"]] {
        let ran = place.mk(&[&["lint", "p.rhai"], more].concat());
        assert_eq!(ran.code, 0, "{}{}", ran.stdout, ran.stderr);
    }
}

#[test]
fn a_finding_is_shown_like_any_fault() {
    let place = Place::new();
    place.file("p.rhai", "local().copy(\"/x\", #{ contents: \"hi\" });\n");
    let ran = place.mk(&["lint", "p.rhai"]);
    insta::assert_snapshot!(ran.stdout, @r#"
    error: copy: unknown field `contents`, expected one of `dest`, `src`, `content`, `mode`, `owner`, `group`, `validate`, `backup`
     --> p.rhai:1:23
      |
    1 | local().copy("/x", #{ contents: "hi" });
      |                       ^^^^^^^^
     hint: did you mean `content`?
     hint: `mk doc copy` lists its parameters
    "#);
    insta::assert_snapshot!(ran.stderr, @r"1 fault in 1 file");
}

#[test]
fn a_backslash_in_backticks_is_warned_of_at_its_place() {
    for (script, at, letter) in [
        ("log(`a\\nb`);", "1:7", "\\n"),
        ("let x = 1;\nlog(`${x}\\t`);", "2:10", "\\t"),
        ("let x = \"y\";\nlog(`${x + `\\r`}`);", "2:13", "\\r"),
    ] {
        let place = Place::new();
        place.file("p.rhai", script);
        let ran = place.mk(&["lint", "p.rhai", "--json"]);
        let lines: Vec<serde_json::Value> = ran.stdout.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
        assert_eq!((ran.code, lines.len()), (0, 2), "{script}\n{}{}", ran.stdout, ran.stderr);
        let found = &lines[0]["warning"];
        let wanted = format!("`{letter}` in a text in backticks stays as it is written");
        assert_eq!(found["message"], wanted, "{script}");
        assert_eq!(format!("{}:{}", found["place"]["line"], found["place"]["column"]), at, "{script}");
    }
    let place = Place::new();
    place.file("p.rhai", "log(`a\\nb`);\n");
    let ran = place.mk(&["lint", "p.rhai"]);
    insta::assert_snapshot!(ran.stdout, @r#"
    warning: `\n` in a text in backticks stays as it is written
     --> p.rhai:1:7
      |
    1 | log(`a\nb`);
      |       ^^
     hint: break the line where the text does, or add the piece in double quotes: `…` + "\n"
    "#);
    assert_eq!(ran.stderr, "nothing wrong in 1 file, 1 warning\n");
}

#[test]
fn the_tree_itself_is_clean() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for inventory in ["inventories/lab", "inventories/iximiuz"] {
        let inventory = root.join(inventory).display().to_string();
        let (playbooks, stdlib) =
            (root.join("playbooks").display().to_string(), root.join("stdlib").display().to_string());
        let ran = Place::new().mk(&["lint", &playbooks, &stdlib, "-i", &inventory]);
        assert_eq!(ran.code, 0, "{}{}", ran.stdout, ran.stderr);
        assert!(ran.stderr.contains("files") && !ran.stderr.contains("warning"), "{}{}", ran.stdout, ran.stderr);
    }
}

#[test]
fn what_this_side_adds_to_an_outcome_is_known() {
    let place = Place::new();
    place.file(
        "p.rhai",
        "on(\"all\", |host| { let did = host.reboot(); log(`${did.boot} ${did.system} ${did.seconds}`); });",
    );
    let ran = place.mk(&["lint", "p.rhai"]);
    assert_eq!(ran.code, 0, "{}{}", ran.stdout, ran.stderr);
}
