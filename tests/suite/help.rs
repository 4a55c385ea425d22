//! What `-h` says of every command.

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
        &["trust"],
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
          --trust-project         Obey this project and inventory although others may have written them.
                                  `mk trust` does so for good
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
          --trust-project         Obey this project and inventory although others may have written them.
                                  `mk trust` does so for good
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
          --trust-project      Obey this project and inventory although others may have written them.
                               `mk trust` does so for good
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
          --trust-project      Obey this project and inventory although others may have written them.
                               `mk trust` does so for good
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
          --trust-project      Obey this project and inventory although others may have written them.
                               `mk trust` does so for good
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
          --trust-project         Obey this project and inventory although others may have written them.
                                  `mk trust` does so for good
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
          --trust-project         Obey this project and inventory although others may have written them.
                                  `mk trust` does so for good
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
          --trust-project         Obey this project and inventory although others may have written them.
                                  `mk trust` does so for good
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
          --trust-project      Obey this project and inventory although others may have written them.
                               `mk trust` does so for good
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
          --trust-project      Obey this project and inventory although others may have written them.
                               `mk trust` does so for good
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
          --trust-project         Obey this project and inventory although others may have written them.
                                  `mk trust` does so for good
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
    Obey the project or inventory in a folder although others may have written it. Without a folder,
    list those

    Usage: mk trust [OPTIONS] [DIR]

    Arguments:
      [DIR]  The folder

    Options:
          --forget <DIR>  Take this folder off the list
      -h, --help          Print help (see more with '--help')
      -V, --version       Print version

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
