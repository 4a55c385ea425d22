//! The commands beside `run`: what they print, and where.

use crate::support::Place;

#[test]
fn do_prints_results_alone_on_standard_output() {
    let place = Place::new();
    let ran = place.mk(&["do", "local", "run", "--", "sh", "-c", "echo out; echo talk=x >&2"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (0, "out\n"), "{}", ran.stderr);
    assert!(ran.stderr.contains("talk=x") && ran.stderr.contains("changed      local"), "{}", ran.stderr);
    let ran = place.mk(&["do", "local", "shell", "reads=true", "--", "echo", "a=1", "|", "tr", "a", "b"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (0, "b=1\n"), "{}", ran.stderr);
    let ran = place.mk(&["do", "local", "copy", "/tmp/mk-never", "mode=9"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{}", ran.stderr);
}

#[test]
fn facts_are_json_by_host() {
    let ran = Place::new().mk(&["facts", "local", "--only", "arch,init"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let facts: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(facts["local"].as_object().unwrap().len(), 2, "{facts}");
    assert_eq!(facts["local"]["arch"], std::env::consts::ARCH);
    let ran = Place::new().mk(&["facts", "local", "--only", "arhc"]);
    assert_eq!(ran.code, 2);
    assert!(ran.stderr.contains("did you mean `arch`?"), "{}", ran.stderr);
}

#[test]
fn functions_and_modules_have_pages() {
    let place = Place::new();
    let page = |name: &str| {
        let ran = place.mk(&["doc", name]);
        assert_eq!(ran.code, 0, "{}", ran.stderr);
        ran.stdout
    };
    assert!(page("on").contains("    on(hosts, options, closure)\n"));
    for function in mk::script::FUNCTIONS {
        assert!(page(function.name).contains(function.doc), "{}", function.name);
    }
    let module = page("std/etcd");
    assert!(module.contains("## etcd::endpoints(members)\n\nThe addresses at which clients reach"), "{module}");
    assert!(!module.contains("joined"), "what is private has no page");
    // By the name that is imported, too.
    for name in mk::script::modules() {
        assert!(page(&name).contains(&page(&format!("std/{name}"))), "{name}");
    }
    let ran = place.mk(&["doc", "etdc"]);
    assert_eq!(ran.code, 2);
    insta::assert_snapshot!(ran.stderr, @r"
    error: there is no operation, function or module `etdc`
     hint: did you mean `etcd`?
    ");
}

#[test]
fn every_function_of_a_module_is_documented() {
    for name in mk::script::modules() {
        let module = mk::script::module_doc(&name).unwrap();
        assert!(!module.about.is_empty(), "{name}");
        for (call, doc) in module.functions {
            assert!(!doc.is_empty(), "{name}::{call}");
        }
    }
}

#[test]
fn a_junit_report_names_steps_hosts_and_faults() {
    let place = Place::new();
    place.file(
        "p.rhai",
        r#"
            task("first", || local().run(["true"]));
            local().run(["false"]);
        "#,
    );
    let ran = place.mk(&["run", "p.rhai", "--junit", "report.xml"]);
    assert_eq!(ran.code, 1, "{}", ran.stderr);
    let text = std::fs::read_to_string(place.path().join("report.xml")).unwrap();
    let times = regex_lite::Regex::new(r#"time="[0-9.]+""#).unwrap();
    insta::assert_snapshot!(times.replace_all(&text, "time=\"TIME\""), @r#"
    <?xml version="1.0" encoding="UTF-8"?>
    <testsuites name="mk">
      <testsuite name="first" tests="1" failures="0" skipped="0" time="TIME">
        <testcase classname="local" name="run true at p.rhai:1:26" time="TIME"/>
      </testsuite>
      <testsuite name="playbook" tests="1" failures="1" skipped="0" time="TIME">
        <testcase classname="local" name="run false at p.rhai:2:9" time="TIME">
          <failure message="`false` exited with status 1">error: `false` exited with status 1
     --&gt; p.rhai:2:9 on local
      |
    2 | local().run([&quot;false&quot;]);
      |         ^^^</failure>
        </testcase>
      </testsuite>
    </testsuites>
    "#);
    let ran = place.mk(&["run", "p.rhai", "--junit", "nowhere/report.xml"]);
    assert_eq!(ran.code, 2, "{}", ran.stderr);
}

#[test]
fn quiet_says_what_failed_and_nothing_else() {
    let place = Place::new();
    place.file(
        "good.rhai",
        r#"
            log("hello");
            local().run(["true"]);
        "#,
    );
    place.file(
        "bad.rhai",
        r#"
            local().run(["true"]);
            local().run(["false"]);
        "#,
    );
    let ran = place.mk(&["run", "-q", "good.rhai"]);
    assert_eq!((ran.code, ran.stdout.as_str(), ran.stderr.as_str()), (0, "", ""));
    let ran = place.mk(&["run", "-q", "bad.rhai"]);
    assert_eq!(ran.code, 1);
    assert!(ran.stdout.starts_with("failed "), "{}", ran.stdout);
}
