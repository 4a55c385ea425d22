//! The commands beside `run`: what they print, and where.

use crate::support::Place;

#[test]
#[allow(clippy::too_many_lines, reason = "help is long")]
fn the_help_of_every_command() {
    let place = Place::new();
    let all = [
        &["run"][..],
        &["do"],
        &["lint"],
        &["doc"],
        &["explain"],
        &["inventory"],
        &["vars"],
        &["facts"],
        &["hostkeys", "scan"],
        &["agent", "remove"],
        &["artifacts"],
        &["ledger"],
        &["prune"],
        &["completions"],
    ];
    let help = |command: &&[&str]| {
        let ran = place.mk(&[command, &["-h"][..]].concat());
        assert_eq!(ran.code, 0);
        ran.stdout
    };
    insta::assert_snapshot!(all.iter().map(help).collect::<Vec<_>>().join("\n---\n"), @r"
    Run a playbook

    Usage: mk run [OPTIONS] <PLAYBOOK>

    Arguments:
      <PLAYBOOK>  The playbook

    Options:
      -i, --inventory <PATH>      The inventory: a folder with inventory.yml, or a file. Default:
                                  `inventory` of mk.toml [env: MK_INVENTORY=]
      -e, --extra <KEY=VALUE>     A variable that beats all others: KEY=VALUE, or @FILE with a map in
                                  YAML
      -f, --forks <N>             How many hosts connect and work at a time [default: 20]
      -u, --user <NAME>           The user to log in as, where the inventory names none
          --private-key <FILE>    A private key to try
      -b, --become                Become root through sudo after login, where the inventory says nothing
      -K, --ask-become-pass       Ask for the password that sudo wants
      -k, --ask-pass              Allow logging in with a password, and ask for it
          --connect-attempts <N>  How often it is tried to reach a host, a second apart, where the
                                  inventory does not say
          --hostkeys <HOSTKEYS>   What to do about a host key that is not known [default: strict]
                                  [possible values: strict, accept-new]
      -C, --check                 Change nothing; say what would change
      -D, --diff                  Show what differs
          --json                  One event a line, in JSON, on standard output
      -q, --quiet                 Show only what failed
      -v, --verbose...            Show also what did not change; twice: what commands print
          --log <FILE>            Write what happens on this side to this file. `MK_LOG` says what of
                                  it, such as `mk=trace,russh=debug`
          --lock-wait <TIME>      How long to wait for a host that another run has, such as 30s or 5m
                                  [env: MK_LOCK_WAIT=60s] [default: 0s]
          --exit-code             End with status 3 when a check finds changes
      -l, --limit <PATTERN>       Only these hosts, as a pattern
          --resume                Skip the playbooks that `play` calls where they completed before with
                                  the same scripts, sources, variables, hosts, limit and tasks, on the
                                  same machines. What is on the machines is not looked at
          --one-by-one            Give every step a round trip of its own, where steps whose result
                                  nobody looks at would travel together. What is done and shown is the
                                  same; it takes longer where the network is far
          --junit <FILE>          Write a JUnit report to this file: a suite a task, a case a step
          --report <FILE>         Write a report to this file, as one HTML page: the timeline, and every
                                  step with its diff
          --profile[=<FILE>]      Show at the end what the time was spent on: this side, connecting, the
                                  network, the agent, the programs it started, and waiting. With a file,
                                  also write each stretch of it as a trace, for Perfetto and
                                  `chrome://tracing`
      -t, --tags <TASK>           Only these tasks
      -h, --help                  Print help (see more with '--help')
      -V, --version               Print version

    ---
    Run one operation on hosts, without a playbook

    Usage: mk do [OPTIONS] <PATTERN> <OP> [ARGS]... [-- <WORD>...]

    Arguments:
      <PATTERN>  The hosts, as a pattern
      <OP>       The operation
      [ARGS]...  Its subject, and parameters as KEY=VALUE with VALUE in YAML
      [WORD]...  After `--`: words that are the subject as they stand, such as those of a command

    Options:
      -i, --inventory <PATH>      The inventory: a folder with inventory.yml, or a file. Default:
                                  `inventory` of mk.toml [env: MK_INVENTORY=]
      -e, --extra <KEY=VALUE>     A variable that beats all others: KEY=VALUE, or @FILE with a map in
                                  YAML
      -f, --forks <N>             How many hosts connect and work at a time [default: 20]
      -u, --user <NAME>           The user to log in as, where the inventory names none
          --private-key <FILE>    A private key to try
      -b, --become                Become root through sudo after login, where the inventory says nothing
      -K, --ask-become-pass       Ask for the password that sudo wants
      -k, --ask-pass              Allow logging in with a password, and ask for it
          --connect-attempts <N>  How often it is tried to reach a host, a second apart, where the
                                  inventory does not say
          --hostkeys <HOSTKEYS>   What to do about a host key that is not known [default: strict]
                                  [possible values: strict, accept-new]
      -C, --check                 Change nothing; say what would change
      -D, --diff                  Show what differs
          --json                  One event a line, in JSON, on standard output
      -q, --quiet                 Show only what failed
      -v, --verbose...            Show also what did not change; twice: what commands print
          --log <FILE>            Write what happens on this side to this file. `MK_LOG` says what of
                                  it, such as `mk=trace,russh=debug`
          --lock-wait <TIME>      How long to wait for a host that another run has, such as 30s or 5m
                                  [env: MK_LOCK_WAIT=60s] [default: 0s]
          --exit-code             End with status 3 when a check finds changes
      -h, --help                  Print help (see more with '--help')
      -V, --version               Print version

    ---
    Find what is wrong with playbooks and templates, without connecting

    Usage: mk lint [OPTIONS] [PATHS]...

    Arguments:
      [PATHS]...  Playbooks, or folders of them. The project's by default

    Options:
      -i, --inventory <PATH>   The inventory: a folder with inventory.yml, or a file. Default:
                               `inventory` of mk.toml [env: MK_INVENTORY=]
      -e, --extra <KEY=VALUE>  A variable that beats all others: KEY=VALUE, or @FILE with a map in YAML
          --json               One finding a line, in JSON
      -h, --help               Print help
      -V, --version            Print version

    ---
    Show what scripts can call, or one operation, function or module (std/NAME)

    Usage: mk doc [NAME]

    Arguments:
      [NAME]  The operation, function or module

    Options:
      -h, --help     Print help
      -V, --version  Print version

    ---
    Explain a part of Kubernetes: what it is for, and the command that shows it on the running cluster

    Usage: mk explain [TOPIC]

    Arguments:
      [TOPIC]  The part. Without it, all are listed

    Options:
      -h, --help     Print help
      -V, --version  Print version

    ---
    Show the inventory: groups, hosts, ways in

    Usage: mk inventory [OPTIONS]

    Options:
      -i, --inventory <PATH>   The inventory: a folder with inventory.yml, or a file. Default:
                               `inventory` of mk.toml [env: MK_INVENTORY=]
      -e, --extra <KEY=VALUE>  A variable that beats all others: KEY=VALUE, or @FILE with a map in YAML
          --json               For machines
      -h, --help               Print help
      -V, --version            Print version

    ---
    Show the variables of a host, or where one came from

    Usage: mk vars [OPTIONS] <HOST>

    Arguments:
      <HOST>  The host

    Options:
      -i, --inventory <PATH>   The inventory: a folder with inventory.yml, or a file. Default:
                               `inventory` of mk.toml [env: MK_INVENTORY=]
      -e, --extra <KEY=VALUE>  A variable that beats all others: KEY=VALUE, or @FILE with a map in YAML
          --why <KEY>          Show everything that gave this variable a value, the winner first
      -h, --help               Print help
      -V, --version            Print version

    ---
    Print the facts of hosts, as JSON

    Usage: mk facts [OPTIONS] <PATTERN>

    Arguments:
      <PATTERN>  The hosts, as a pattern

    Options:
          --only <FACT>           Only these facts
      -i, --inventory <PATH>      The inventory: a folder with inventory.yml, or a file. Default:
                                  `inventory` of mk.toml [env: MK_INVENTORY=]
      -e, --extra <KEY=VALUE>     A variable that beats all others: KEY=VALUE, or @FILE with a map in
                                  YAML
      -f, --forks <N>             How many hosts connect and work at a time [default: 20]
      -u, --user <NAME>           The user to log in as, where the inventory names none
          --private-key <FILE>    A private key to try
      -b, --become                Become root through sudo after login, where the inventory says nothing
      -K, --ask-become-pass       Ask for the password that sudo wants
      -k, --ask-pass              Allow logging in with a password, and ask for it
          --connect-attempts <N>  How often it is tried to reach a host, a second apart, where the
                                  inventory does not say
          --hostkeys <HOSTKEYS>   What to do about a host key that is not known [default: strict]
                                  [possible values: strict, accept-new]
      -h, --help                  Print help (see more with '--help')
      -V, --version               Print version

    ---
    Show the keys of hosts of which nothing is known, ask once, and record them

    Usage: mk hostkeys scan [OPTIONS] <PATTERN>

    Arguments:
      <PATTERN>  The hosts, as a pattern

    Options:
      -i, --inventory <PATH>      The inventory: a folder with inventory.yml, or a file. Default:
                                  `inventory` of mk.toml [env: MK_INVENTORY=]
      -e, --extra <KEY=VALUE>     A variable that beats all others: KEY=VALUE, or @FILE with a map in
                                  YAML
      -f, --forks <N>             How many hosts connect and work at a time [default: 20]
      -u, --user <NAME>           The user to log in as, where the inventory names none
          --private-key <FILE>    A private key to try
      -b, --become                Become root through sudo after login, where the inventory says nothing
      -K, --ask-become-pass       Ask for the password that sudo wants
      -k, --ask-pass              Allow logging in with a password, and ask for it
          --connect-attempts <N>  How often it is tried to reach a host, a second apart, where the
                                  inventory does not say
          --hostkeys <HOSTKEYS>   What to do about a host key that is not known [default: strict]
                                  [possible values: strict, accept-new]
      -y, --yes                   Record them without asking
      -h, --help                  Print help (see more with '--help')
      -V, --version               Print version

    ---
    Remove the agent and all it keeps from hosts, over the bare connection

    Usage: mk agent remove [OPTIONS] <PATTERN>

    Arguments:
      <PATTERN>  The hosts, as a pattern

    Options:
      -i, --inventory <PATH>      The inventory: a folder with inventory.yml, or a file. Default:
                                  `inventory` of mk.toml [env: MK_INVENTORY=]
      -e, --extra <KEY=VALUE>     A variable that beats all others: KEY=VALUE, or @FILE with a map in
                                  YAML
      -f, --forks <N>             How many hosts connect and work at a time [default: 20]
      -u, --user <NAME>           The user to log in as, where the inventory names none
          --private-key <FILE>    A private key to try
      -b, --become                Become root through sudo after login, where the inventory says nothing
      -K, --ask-become-pass       Ask for the password that sudo wants
      -k, --ask-pass              Allow logging in with a password, and ask for it
          --connect-attempts <N>  How often it is tried to reach a host, a second apart, where the
                                  inventory does not say
          --hostkeys <HOSTKEYS>   What to do about a host key that is not known [default: strict]
                                  [possible values: strict, accept-new]
      -h, --help                  Print help (see more with '--help')
      -V, --version               Print version

    ---
    The released files that playbooks use: list, fetch and verify them, complete their lock

    Usage: mk artifacts [OPTIONS] <ACTION> [NAMES]...

    Arguments:
      <ACTION>    What to do [possible values: list, fetch, verify, lock]
      [NAMES]...  Only these artifacts

    Options:
      -i, --inventory <PATH>   The inventory: a folder with inventory.yml, or a file. Default:
                               `inventory` of mk.toml [env: MK_INVENTORY=]
      -e, --extra <KEY=VALUE>  A variable that beats all others: KEY=VALUE, or @FILE with a map in YAML
          --project <DIR>      The folder with `artifacts.lock.yaml`. Default: the project of this
                               folder, else `playbooks` in it
          --arch <ARCH>        Only for this architecture
      -h, --help               Print help (see more with '--help')
      -V, --version            Print version

    ---
    List what mk made on hosts and has not taken away, without connecting

    Usage: mk ledger [OPTIONS] [PATTERN]

    Arguments:
      [PATTERN]  The hosts, as a pattern. Without it, all that the ledger knows

    Options:
          --by <FILE>          Only what calls in files with this in their path made, such as `07-etcd`
                               or `worker.rhai`
      -i, --inventory <PATH>   The inventory: a folder with inventory.yml, or a file. Default:
                               `inventory` of mk.toml [env: MK_INVENTORY=]
      -e, --extra <KEY=VALUE>  A variable that beats all others: KEY=VALUE, or @FILE with a map in YAML
          --json               For machines: by host, each thing with the call that takes it away
      -h, --help               Print help
      -V, --version            Print version

    ---
    Take away what mk made on hosts, the last first. What was there before mk stays

    Usage: mk prune [OPTIONS] [PATTERN]

    Arguments:
      [PATTERN]  The hosts, as a pattern. All of the inventory by default

    Options:
          --plan                  Only show what would be taken away: the same as `--check`
      -y, --yes                   Take it away without asking
          --by <FILE>             Only what calls in files with this in their path made, such as
                                  `07-etcd` or `worker.rhai`
      -i, --inventory <PATH>      The inventory: a folder with inventory.yml, or a file. Default:
                                  `inventory` of mk.toml [env: MK_INVENTORY=]
      -e, --extra <KEY=VALUE>     A variable that beats all others: KEY=VALUE, or @FILE with a map in
                                  YAML
      -f, --forks <N>             How many hosts connect and work at a time [default: 20]
      -u, --user <NAME>           The user to log in as, where the inventory names none
          --private-key <FILE>    A private key to try
      -b, --become                Become root through sudo after login, where the inventory says nothing
      -K, --ask-become-pass       Ask for the password that sudo wants
      -k, --ask-pass              Allow logging in with a password, and ask for it
          --connect-attempts <N>  How often it is tried to reach a host, a second apart, where the
                                  inventory does not say
          --hostkeys <HOSTKEYS>   What to do about a host key that is not known [default: strict]
                                  [possible values: strict, accept-new]
      -C, --check                 Change nothing; say what would change
      -D, --diff                  Show what differs
          --json                  One event a line, in JSON, on standard output
      -q, --quiet                 Show only what failed
      -v, --verbose...            Show also what did not change; twice: what commands print
          --log <FILE>            Write what happens on this side to this file. `MK_LOG` says what of
                                  it, such as `mk=trace,russh=debug`
          --lock-wait <TIME>      How long to wait for a host that another run has, such as 30s or 5m
                                  [env: MK_LOCK_WAIT=60s] [default: 0s]
          --exit-code             End with status 3 when a check finds changes
      -h, --help                  Print help (see more with '--help')
      -V, --version               Print version

    ---
    Print completions for a shell

    Usage: mk completions <SHELL>

    Arguments:
      <SHELL>  The shell [possible values: bash, elvish, fish, powershell, zsh]

    Options:
      -h, --help     Print help
      -V, --version  Print version
    ");
}

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
    let ran = place.mk(&["doc", "etcd"]);
    assert_eq!(ran.code, 2);
    insta::assert_snapshot!(ran.stderr, @r"
    error: there is no operation or function `etcd`
     hint: the module is `std/etcd`
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
    place.file("p.rhai", "task(\"first\", || local().run([\"true\"]));\nlocal().run([\"false\"]);\n");
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
    place.file("good.rhai", "log(\"hello\");\nlocal().run([\"true\"]);\n");
    place.file("bad.rhai", "local().run([\"true\"]);\nlocal().run([\"false\"]);\n");
    let ran = place.mk(&["run", "-q", "good.rhai"]);
    assert_eq!((ran.code, ran.stdout.as_str(), ran.stderr.as_str()), (0, "", ""));
    let ran = place.mk(&["run", "-q", "bad.rhai"]);
    assert_eq!(ran.code, 1);
    assert!(ran.stdout.starts_with("failed "), "{}", ran.stdout);
}
