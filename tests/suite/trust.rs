//! Whose code runs on the control side: nothing is obeyed that others may have written, and nothing above a project.
//!
//! Files are given to another user here, so these tests run as root, as the whole suite does.

use std::os::unix::fs::{PermissionsExt as _, chown, symlink};
use std::path::{Path, PathBuf};

use crate::support::{Place, Ran};

/// Somebody else, who needs no account.
const OTHER: u32 = 64_321;

/// A project and an inventory beside it, with one of everything that is read as code or configuration. Whatever runs
/// says so in a file.
fn project() -> Place {
    let place = Place::new();
    let ran = place.path().join("ran").display().to_string();
    place.file("p/mk.toml", "inventory = \"../inv\"\n[vars]\nfrom = \"toml\"\n");
    place.file(
        "p/run.rhai",
        r#"
            import "helper" as helper;
            import "near" as near;
            play("more/other.rhai");
            log(secret("file:pw"));
            local().copy(vars("dest") + "-file", #{ src: "text" });
            local().template(vars("dest") + "-template", #{ src: "text.j2" });
            local().tree(vars("dest") + "-tree", #{ src: "tree" });
        "#,
    );
    place.file("p/near.rhai", "fn near() { 1 }\n");
    place.file("p/more/other.rhai", "log(\"other\");\n");
    place.file("p/stdlib/helper.rhai", "fn helper() { 1 }\n");
    place.file("p/pw", "correct horse battery\n");
    place.file("p/files/text", "text\n");
    place.file("p/files/tree/a/b", "b\n");
    place.file("p/templates/text.j2", "{{ from }}\n");
    place.file("p/artifacts.lock.yaml", "artifacts: []\n");
    place.file(
        "inv/inventory.yml",
        &format!("hosts:\n  far:\n    ways: [{{ ssh: {{ address: 192.0.2.1, proxy: \"touch {ran}; false\", known_hosts: known }} }}]\n"),
    );
    place.file("inv/known", "");
    place.file("inv/group_vars/all.yml", &format!("dest: {}\n", place.path().join("out").display()));
    place.file("inv/host_vars/far.yml", "x: 1\n");
    place
}

/// Runs mk in a folder of the place.
fn mk(place: &Place, folder: &str, args: &[&str]) -> Ran {
    let mut command = place.command(args);
    place.shown(&command.current_dir(place.path().join(folder)).output().unwrap())
}

pub(crate) fn mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

pub(crate) fn give(path: &Path) {
    std::os::unix::fs::lchown(path, Some(OTHER), Some(OTHER)).unwrap();
}

/// Holds a run to having refused because of that path, and to having done nothing.
fn refused(place: &Place, ran: &Ran, path: &str, what: &str) {
    assert_eq!(ran.code, 2, "{what}: {}{}", ran.stdout, ran.stderr);
    assert!(ran.stderr.contains(&format!("`DIR/{path}`")), "{what}: {}", ran.stderr);
    assert!(ran.stderr.contains("mode ") && ran.stderr.contains("owner "), "{what}: {}", ran.stderr);
    assert!(ran.stderr.contains("`mk trust DIR") && ran.stderr.contains("--trust-project"), "{what}: {}", ran.stderr);
    assert!(!place.path().join("ran").exists(), "{what}: the inventory's program ran");
}

const PLAYBOOK: &[&str] = &["run", "run.rhai", "--check"];

#[test]
fn what_is_ours_is_obeyed() {
    let place = project();
    let ran = mk(&place, "p", PLAYBOOK);
    assert_eq!(ran.code, 0, "{}{}", ran.stdout, ran.stderr);
    assert_eq!(mk(&place, "p", &["facts", "far"]).code, 4);
    assert!(place.path().join("ran").exists(), "the proxy is a program that runs here");
}

#[test]
fn nothing_is_obeyed_that_belongs_to_somebody_else_or_that_others_may_write_to() {
    let parts = [
        "p",
        "p/mk.toml",
        "p/run.rhai",
        "p/near.rhai",
        "p/more",
        "p/more/other.rhai",
        "p/stdlib",
        "p/stdlib/helper.rhai",
        "p/pw",
        "p/files",
        "p/files/text",
        "p/files/tree",
        "p/files/tree/a",
        "p/files/tree/a/b",
        "p/templates",
        "p/templates/text.j2",
        "inv",
        "inv/inventory.yml",
        "inv/known",
        "inv/group_vars",
        "inv/group_vars/all.yml",
        "inv/host_vars",
        "inv/host_vars/far.yml",
    ];
    for part in parts {
        for (what, spoil) in [
            ("given", (|path: &Path| give(path)) as fn(&Path)),
            ("open", |path| mode(path, 0o777)),
            ("open to a group", |path| {
                chown(path, None, Some(OTHER)).unwrap();
                mode(path, 0o775);
            }),
        ] {
            let place = project();
            spoil(&place.path().join(part));
            refused(&place, &mk(&place, "p", PLAYBOOK), part, &format!("{part} {what}"));
        }
    }
}

#[test]
fn every_command_that_reads_a_project_is_held_to_it() {
    let commands: &[&[&str]] = &[
        &["run", "run.rhai"],
        &["do", "far", "run", "true"],
        &["facts", "far"],
        &["vars", "far"],
        &["inventory"],
        &["hostkeys", "scan", "far"],
        &["prune", "--yes"],
        &["ledger"],
        &["agent", "remove", "far"],
        &["lint"],
        &["artifacts", "list"],
        &["artifacts", "lock"],
    ];
    for part in ["p", "p/mk.toml", "inv/inventory.yml"] {
        for command in commands {
            if command.contains(&"lock") && part.starts_with("inv") {
                continue;
            }
            let place = project();
            give(&place.path().join(part));
            refused(&place, &mk(&place, "p", command), part, &format!("{command:?}, {part}"));
        }
    }
    let place = project();
    give(&place.path().join("p/artifacts.lock.yaml"));
    refused(&place, &mk(&place, "p", &["artifacts", "list"]), "p/artifacts.lock.yaml", "the lock");
}

#[test]
fn what_an_argument_names_is_held_to_it() {
    let place = project();
    let vars = place.file("vars.yml", "a: 1\n");
    let argument = format!("@{}", vars.display());
    assert_eq!(mk(&place, "p", &["vars", "far", "-e", &argument]).code, 0);
    give(&vars);
    refused(&place, &mk(&place, "p", &["vars", "far", "-e", &argument]), "vars.yml", "-e @FILE");
    let other = project();
    other.file("q/run.rhai", "log(1);\n");
    give(&other.path().join("inv"));
    refused(&other, &mk(&other, "q", &["run", "run.rhai", "-i", "../inv"]), "inv", "-i");
}

#[test]
fn variables_that_come_by_a_pipe_or_a_descriptor_are_the_callers_own() {
    let place = project();
    for script in ["exec \"$MK\" vars far -e @<(echo a: 1)", "echo a: 1 | exec \"$MK\" vars far -e @/dev/stdin"] {
        let mut shell = std::process::Command::new("bash");
        shell.args(["-c", script]).env("MK", env!("CARGO_BIN_EXE_mk")).env("HOME", place.path());
        let ran = place.shown(&shell.current_dir(place.path().join("p")).output().unwrap());
        assert!(ran.code == 0 && ran.stdout.contains("a: 1"), "{script}: {}{}", ran.stdout, ran.stderr);
    }
}

#[test]
fn links_and_what_they_lead_to_are_looked_at() {
    let foreign = |link: &str, target: &str, given: &str| {
        let place = project();
        place.file("other/helper.rhai", "fn helper() { 1 }\n");
        place.file("other/text", "text\n");
        let link = place.path().join(link);
        if link.is_dir() {
            std::fs::remove_dir_all(&link).unwrap();
        } else {
            std::fs::remove_file(&link).unwrap();
        }
        symlink(target, &link).unwrap();
        give(&place.path().join(given));
        refused(&place, &mk(&place, "p", PLAYBOOK), given, given);
    };
    foreign("p/stdlib", "../other", "other");
    foreign("p/stdlib", "../other", "p/stdlib");
    foreign("p/stdlib/helper.rhai", "../../other/helper.rhai", "other/helper.rhai");
    foreign("p/stdlib/helper.rhai", "../../other/helper.rhai", "other");
    foreign("p/files/text", "../../other/text", "other/text");
    // A link of one's own to what is one's own is fine.
    let place = project();
    std::fs::rename(place.path().join("p/stdlib"), place.path().join("own")).unwrap();
    symlink("../own", place.path().join("p/stdlib")).unwrap();
    let ran = mk(&place, "p", PLAYBOOK);
    assert_eq!(ran.code, 0, "{}{}", ran.stdout, ran.stderr);
}

#[test]
fn nothing_above_a_project_is_read() {
    // The module that somebody put beside the project, and the settings above it.
    let place = Place::new();
    mode(&place.path().join(""), 0o1777);
    place.file(
        "p/run.rhai",
        r#"
            import "paths" as paths;
            log(paths::KUBE);
        "#,
    );
    let module = place.file("stdlib/paths.rhai", "throw \"planted\";\n");
    give(&module);
    give(&place.path().join("stdlib"));
    let toml = place.file("mk.toml", "inventory = \"evil\"\n");
    give(&toml);
    let ran = mk(&place, "p", &["run", "run.rhai"]);
    assert!(!ran.stderr.contains("planted"), "{}", ran.stderr);
    assert!(!ran.stderr.contains("evil"), "{}", ran.stderr);
    // Not even one's own: a neighbour is no part of the project.
    let place = Place::new();
    place.file("p/run.rhai", "import \"mine\" as mine;\n");
    place.file("stdlib/mine.rhai", "");
    let ran = mk(&place, "p", &["run", "run.rhai"]);
    assert!(ran.code == 2 && ran.stderr.contains("there is no module `mine`"), "{}", ran.stderr);
}

#[test]
fn settings_in_a_folder_of_somebody_else_are_refused_and_in_one_of_everybodys_are_no_settings() {
    let place = project();
    std::fs::create_dir_all(place.path().join("p/mine/deep")).unwrap();
    give(&place.path().join("p"));
    for folder in ["p/mine", "p/mine/deep"] {
        refused(&place, &mk(&place, folder, &["facts", "far"]), "p", folder);
    }
    // The search ends at somebody else's folder, whatever lies above it.
    let place = project();
    std::fs::create_dir_all(place.path().join("p/theirs/mine")).unwrap();
    give(&place.path().join("p/theirs"));
    let ran = mk(&place, "p/theirs/mine", &["inventory"]);
    assert!(ran.code == 2 && ran.stderr.contains("no inventory is named"), "{}", ran.stderr);
    // As in /tmp.
    let place = project();
    std::fs::create_dir_all(place.path().join("p/mine")).unwrap();
    mode(&place.path().join("p"), 0o1777);
    let ran = mk(&place, "p/mine", &["inventory"]);
    assert!(ran.code == 2 && ran.stderr.contains("no inventory is named"), "{}", ran.stderr);
}

#[test]
fn the_settings_of_a_folder_on_the_way_are_not_those_of_the_project() {
    let place = project();
    place.file("q/run.rhai", "log(`from ${vars(\"from\", \"nowhere\")}`);\n");
    let ran = mk(&place, "p", &["run", "../q/run.rhai"]);
    assert!(ran.stdout.contains("from nowhere"), "{}{}", ran.stdout, ran.stderr);
}

#[test]
fn a_command_that_reads_nothing_in_a_folder_may_be_given_there() {
    let place = Place::new();
    std::fs::create_dir(place.path().join("theirs")).unwrap();
    give(&place.path().join("theirs"));
    let ran = mk(&place, "theirs", &["do", "local", "run", "echo", "fine"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (0, "fine\n"), "{}", ran.stderr);
    place.file("theirs/text", "x");
    let out = place.path().join("out").display().to_string();
    let ran = mk(&place, "theirs", &["do", "local", "copy", &out, "src=text"]);
    assert!(ran.code != 0 && ran.stderr.contains("`DIR/theirs`"), "{}", ran.stderr);
}

#[test]
fn content_that_is_named_by_its_whole_path_is_data_and_a_template_is_not() {
    let place = Place::new();
    let built = place.file("builds/app", "x");
    let template = place.file("builds/app.j2", "x");
    give(&built);
    give(&template);
    let out = place.path().join("out").display().to_string();
    place.file("p/data.rhai", &format!("local().copy(\"{out}\", #{{ src: \"{}\" }});", built.display()));
    place.file("p/code.rhai", &format!("local().template(\"{out}\", #{{ src: \"{}\" }});", template.display()));
    place.file("p/play.rhai", &format!("play(\"{}\");", template.display()));
    let ran = mk(&place, "p", &["run", "data.rhai"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    for playbook in ["code.rhai", "play.rhai"] {
        let ran = mk(&place, "p", &["run", playbook]);
        assert!(ran.code == 2 && ran.stderr.contains("`DIR/builds/app.j2`"), "{playbook}: {}", ran.stderr);
    }
}

#[test]
fn the_group_of_root_may_write_and_sudo_brings_its_caller() {
    let place = project();
    let all = || walkdir::WalkDir::new(place.path()).into_iter().map(|entry| entry.unwrap().into_path());
    for path in all() {
        // A clone that root made with a umask of 002.
        mode(&path, if path.is_dir() { 0o775 } else { 0o664 });
    }
    let ran = mk(&place, "p", PLAYBOOK);
    assert_eq!(ran.code, 0, "{}{}", ran.stdout, ran.stderr);
    let paths: Vec<PathBuf> = all().collect();
    for path in &paths {
        mode(path, if path.is_dir() { 0o755 } else { 0o644 });
        give(path);
    }
    let sudo = |uid: u32| {
        let mut command = place.command(PLAYBOOK);
        command.env("SUDO_UID", uid.to_string()).env("XDG_STATE_HOME", "/nowhere").env("XDG_CACHE_HOME", "/nowhere");
        place.shown(&command.current_dir(place.path().join("p")).output().unwrap())
    };
    let ran = sudo(OTHER);
    assert_eq!(ran.code, 0, "{}{}", ran.stdout, ran.stderr);
    assert_eq!(sudo(OTHER + 1).code, 2);
}

#[test]
fn a_folder_that_is_trusted_is_obeyed_until_it_is_forgotten() {
    let place = project();
    give(&place.path().join("p"));
    give(&place.path().join("inv/inventory.yml"));
    let facts = |place: &Place| mk(place, "p", &["vars", "far", "--why", "from"]);
    assert_eq!(facts(&place).code, 2);
    assert_eq!(mk(&place, "p", &["trust"]).stdout, "");
    let ran = mk(&place, "p", &["trust", "."]);
    assert_eq!((ran.code, ran.stdout.as_str()), (0, "DIR/p is trusted\n"), "{}", ran.stderr);
    refused(&place, &facts(&place), "inv/inventory.yml", "the inventory is another folder");
    assert_eq!(mk(&place, "p", &["trust", "../inv"]).code, 0);
    assert_eq!(mk(&place, ".", &["trust", "p"]).stdout, "DIR/p is trusted already\n");
    assert_eq!(mk(&place, ".", &["trust"]).stdout, "DIR/inv\nDIR/p\n");
    assert_eq!(facts(&place).code, 0);
    let list = place.path().join("state/mk/trusted");
    assert_eq!(std::fs::metadata(&list).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(mk(&place, ".", &["trust", "--forget", "p"]).stdout, "DIR/p is no longer trusted\n");
    assert_eq!(facts(&place).code, 2);
    assert_eq!(mk(&place, ".", &["trust", "--forget", "p"]).code, 2);
    // The list itself is held to what it lifts.
    give(&list);
    let ran = facts(&place);
    assert!(ran.code == 2 && ran.stderr.contains("state/mk/trusted"), "{}", ran.stderr);
}

#[test]
fn a_project_is_trusted_for_one_run() {
    let place = project();
    for part in ["p", "p/mk.toml", "p/stdlib", "inv", "inv/inventory.yml"] {
        give(&place.path().join(part));
    }
    let run = [PLAYBOOK, &["--trust-project"]].concat();
    let ran = mk(&place, "p", &run);
    assert_eq!(ran.code, 0, "{}{}", ran.stdout, ran.stderr);
    assert_eq!(mk(&place, "p", PLAYBOOK).code, 2);
}

#[test]
fn what_cannot_be_one_project_is_not_trusted() {
    let place = Place::new();
    for (folder, why) in
        [("/", "cannot be trusted"), ("/tmp", "anybody may put a project"), ("nowhere", "there is no folder")]
    {
        let ran = mk(&place, ".", &["trust", folder]);
        assert!(ran.code == 2 && ran.stderr.contains(why), "{folder}: {}", ran.stderr);
    }
}

#[test]
fn the_fault_says_whose_it_is_and_what_to_do() {
    let place = project();
    give(&place.path().join("p/stdlib/helper.rhai"));
    insta::assert_snapshot!(mk(&place, "p", PLAYBOOK).stderr, @r#"
    error: `DIR/p/stdlib/helper.rhai` belongs to uid 64321, so nothing in it is obeyed
      because: owner uid 64321, group 64321, mode 0644
     --> run.rhai:1:8
      |
    1 | import "helper" as helper;
      |        ^
     hint: once you have seen what is there: `chown root DIR/p/stdlib/helper.rhai`
     hint: or `mk trust DIR/p` to obey all that is in it, `--trust-project` for this run
    "#);
    mode(&place.path().join("inv"), 0o777);
    insta::assert_snapshot!(mk(&place, "p", &["inventory"]).stderr, @r"
    error: anybody may write to `DIR/inv`, so nothing is run from it
      because: owner `root` (uid 0), group 0, mode 0777
     --> DIR/p/../inv/inventory.yml
     hint: once you have seen what is there: `chmod -R go-w DIR/inv`
     hint: or `mk trust DIR/inv` to obey all that is in it, `--trust-project` for this run
    ");
}

#[test]
fn a_module_of_the_project_is_not_one_of_mks_own() {
    // mk's `balancer` imports mk's `units`; a project has a module of that name too.
    let place = Place::new();
    place.file("stdlib/units.rhai", "fn mine() { 42 }\nfn start(a, b, c) { throw \"not this one\"; }\n");
    place.file(
        "run.rhai",
        r#"
            import "units" as units;
            import "balancer" as balancer;
            log(`mine ${units::mine()}`);
        "#,
    );
    let ran = place.mk(&["run", "run.rhai"]);
    assert!(ran.code == 0 && ran.stdout.contains("mine 42"), "{}{}", ran.stdout, ran.stderr);
    // It would be missed as soon as it begins.
    place.file("stdlib/cluster.rhai", "throw \"planted\";\n");
    place.file(
        "run.rhai",
        r#"
            import "balancer" as balancer;
            log("begun");
        "#,
    );
    let ran = place.mk(&["run", "run.rhai"]);
    assert!(ran.code == 0 && ran.stdout.contains("begun"), "{}{}", ran.stdout, ran.stderr);
}
