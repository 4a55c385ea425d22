//! Folders to a host and files back from it, through the real agent on this machine.

use std::os::unix::fs::PermissionsExt;

use crate::support::{Place, Ran};

fn run(place: &Place, script: &str, flags: &[&str]) -> Ran {
    place.file("p.rhai", script);
    place.mk(&[&["run", "p.rhai"], flags].concat())
}

#[test]
fn a_folder_arrives_with_its_links_and_without_what_is_left_out() {
    let place = Place::new();
    let program = place.file("site/bin/run", "#!/bin/sh\n");
    std::fs::set_permissions(program, std::fs::Permissions::from_mode(0o775)).unwrap();
    for name in ["site/a.txt", "site/a.bak", "site/.git/config", "site/docs/one", "site/docs/.git/x"] {
        place.file(name, name);
    }
    std::fs::create_dir(place.path().join("site/empty")).unwrap();
    std::os::unix::fs::symlink("nowhere/at/all", place.path().join("site/link")).unwrap();
    let dest = place.path().join("dest");
    place.file("dest/a.bak", "the host's own");
    place.file("dest/old/file", "old");
    let text = format!(
        r#"
            let t = local().tree("{}", #{{ src: "site", exclude: [".git", "*.bak"], delete: true }});
            log(t.files);
        "#,
        dest.display()
    );
    let checked = run(&place, &text, &["--check", "--diff"]);
    assert!(checked.stdout.contains("old: a directory -> absent"), "{}{}", checked.stdout, checked.stderr);
    assert!(dest.join("old/file").exists());
    let ran = run(&place, &text, &[]);
    assert_eq!(ran.code, 0, "{}{}", ran.stdout, ran.stderr);
    assert!(ran.stdout.contains('3'), "{}", ran.stdout);
    let mut found: Vec<String> = walkdir::WalkDir::new(&dest)
        .min_depth(1)
        .into_iter()
        .map(|entry| entry.unwrap().path().strip_prefix(&dest).unwrap().display().to_string())
        .collect();
    found.sort();
    assert_eq!(found, ["a.bak", "a.txt", "bin", "bin/run", "docs", "docs/one", "empty", "link"]);
    let mode = |name: &str| std::fs::metadata(dest.join(name)).unwrap().permissions().mode() & 0o7777;
    assert_eq!((mode("bin/run"), mode("a.txt"), mode("docs")), (0o755, 0o644, 0o755));
    assert_eq!(std::fs::read_link(dest.join("link")).unwrap().to_str(), Some("nowhere/at/all"));
    assert!(run(&place, &text, &[]).stdout.contains("nothing changed on 1 host"));
}

#[test]
fn a_source_that_is_no_folder_is_a_fault_before_any_host_is_asked() {
    let place = Place::new();
    place.file("one", "1");
    let ran = run(&place, "local().tree(\"/nonexistent/x\", #{ src: \"one\" });", &[]);
    assert_eq!(ran.code, 2, "{}", ran.stderr);
    assert!(
        ran.stderr.contains("is not a folder") && ran.stderr.contains("`host.copy` copies one file"),
        "{}",
        ran.stderr
    );
}

#[test]
fn a_fetched_file_is_on_this_side_and_in_no_event() {
    let place = Place::new();
    let source = place.file("there/key", "the canary of the host\n");
    let text = format!(
        r#"
            let f = local().fetch("{}", #{{ dest: "kept/{{name}}.key" }});
            log(f.path);
        "#,
        source.display()
    );
    let kept = place.path().join("kept/local.key");
    for (flags, there) in [(&["--check", "--diff", "-vv"][..], false), (&["--diff", "-vv", "--json"], true)] {
        let ran = run(&place, &text, flags);
        assert_eq!((ran.code, kept.exists()), (0, there), "{}{}", ran.stdout, ran.stderr);
        assert!(!format!("{}{}", ran.stdout, ran.stderr).contains("canary"), "{}", ran.stdout);
    }
    assert_eq!(std::fs::read(&kept).unwrap(), std::fs::read(&source).unwrap());
    assert_eq!(std::fs::metadata(&kept).unwrap().permissions().mode() & 0o7777, 0o600);
    assert!(run(&place, &text, &[]).stdout.contains("nothing changed on 1 host"));
    assert_eq!(std::fs::read_dir(place.path().join("kept")).unwrap().count(), 1, "something was left behind");
}

#[test]
fn a_fetched_file_never_leaves_the_project_and_is_only_one_files() {
    let place = Place::new();
    place.file("there/one", "../../escaped\n");
    place.file("there/two", "2");
    let folder = place.path().display();
    // What a host says is data, also where it becomes a part of a path.
    let text = format!(
        r#"
            let here = local();
            let name = here.run(["cat", "{folder}/there/one"], #{{ reads: true }}).stdout;
            here.fetch("{folder}/there/one", #{{ dest: "kept/" + name }});
        "#
    );
    let ran = run(&place, &text, &[]);
    assert_eq!(ran.code, 2, "{}", ran.stdout);
    assert!(ran.stderr.contains("would leave the project's folder"), "{}", ran.stderr);
    let text = format!(
        r#"
            let here = local();
            here.fetch("{folder}/there/one", #{{ dest: "kept/x" }});
            here.fetch("{folder}/there/two", #{{ dest: "kept/x" }});
        "#
    );
    let ran = run(&place, &text, &[]);
    assert_eq!(ran.code, 2, "{}", ran.stdout);
    assert!(ran.stderr.contains("is already `DIR/there/one` of `local`"), "{}", ran.stderr);
}
