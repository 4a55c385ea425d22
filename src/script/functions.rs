//! The functions of scripts beside the operations: the one list that `mk doc`, hints, lint and the reference are
//! made from. A test holds it to what the engine really has.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use super::engine::PLAIN;

/// A function that mk adds to the language.
#[derive(Debug, Clone, Copy)]
pub struct Function {
    /// Its name.
    pub name: &'static str,
    /// Every way to call it. A method's begins with what it belongs to: `host.get(name)`.
    pub calls: &'static [&'static str],
    /// What it does, in Markdown; the first sentence stands in the list.
    pub doc: &'static str,
    /// What it has to do with steps that wait for the next one.
    pub(crate) effect: Effect,
    /// Whether its texts may hold a secret. What looks into one, or looks something up by it, would see the token.
    pub(crate) takes_secrets: bool,
}

/// What a function does as far as steps that wait for the next one go, see [`super::registry`] and [`super::lookahead`]. Which steps may wait
/// is told from this before a script runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effect {
    /// It only works out a value: it neither changes anything nor sees what a step could have changed. Steps wait past it.
    Pure,
    /// It sends what waits before it does anything that could be seen. Steps wait for it.
    Sends,
    /// The same, and it sends what the closures that it is given leave waiting, at the end of each and whatever came of it.
    Closes,
    /// Neither: no step waits where it comes next.
    Other,
}

impl Effect {
    /// Whether what waits is sent before anything else.
    pub(crate) fn sends(self) -> bool {
        matches!(self, Self::Sends | Self::Closes)
    }
}

impl Function {
    const fn taking_secrets(self) -> Self {
        Self { takes_secrets: true, ..self }
    }

    /// How many values each way to call it takes, what a method is called on included.
    pub fn arities(&self) -> impl Iterator<Item = usize> + '_ {
        self.calls.iter().map(|call| {
            let inside = call.split_once('(').map_or("", |(_, rest)| rest.trim_end_matches(')'));
            let given = inside.split(", ").filter(|parameter| !parameter.is_empty()).count();
            let before = call.split('(').next().unwrap_or_default();
            given + usize::from(before.contains('.'))
        })
    }
}

const fn function(name: &'static str, calls: &'static [&'static str], doc: &'static str) -> Function {
    Function { name, calls, doc, effect: Effect::Other, takes_secrets: false }
}

const fn pure(name: &'static str, calls: &'static [&'static str], doc: &'static str) -> Function {
    Function { name, calls, doc, effect: Effect::Pure, takes_secrets: false }
}

const fn sends(name: &'static str, calls: &'static [&'static str], doc: &'static str) -> Function {
    Function { name, calls, doc, effect: Effect::Sends, takes_secrets: false }
}

const fn closes(name: &'static str, calls: &'static [&'static str], doc: &'static str) -> Function {
    Function { name, calls, doc, effect: Effect::Closes, takes_secrets: false }
}

/// All of them, by name.
pub static FUNCTIONS: &[Function] = &[
    closes(
        "always",
        &["always(body, finally)"],
        "Runs the first closure and then, whatever came of it, the second.\n\n\
         What the first returns or raises comes back. The language has no `finally`.",
    ),
    pure(
        "as_user",
        &["host.as_user(name)"],
        "The same host, whose steps act as another user: `host.as_user(\"etcd\").run([\"id\"])`.",
    ),
    sends("assert", &["assert(holds, message)"], "Ends the script with this message unless the condition holds.")
        .taking_secrets(),
    pure(
        "at_once",
        &["step.at_once(count)"],
        "A step made by `later`, which then runs on no more than so many hosts at a time: a rolling restart.",
    ),
    pure(
        "b64decode",
        &["b64decode(text)"],
        "What a text in base64 says, with or without line breaks and padding. Of a secret, it is a secret.",
    ),
    pure(
        "b64encode",
        &["b64encode(text)"],
        "A text in base64, in one line. Of a secret, it is a secret: `b64encode(\"user:\" + secret(\"file:pw\"))`.",
    ),
    function(
        "ca",
        &["ca(name)", "ca(name, wish)"],
        "One of mk's own certificate authorities, made the first time with what `wish` says.\n\n\
         `wish` holds `cn`, the common name, and `valid`, ten years by default. The result has `name`, `cert` (PEM) \
         and `fingerprint`; the key never leaves mk's state. Without `wish` the authority must exist.",
    ),
    function(
        "ca_key",
        &["ca_key(name)"],
        "A handle on the private key of one of mk's own authorities, for a program that signs in its place.\n\n\
         Whoever reads the file it is written to can issue certificates, so do without where that is possible.",
    ),
    pure("checking", &["checking()"], "Whether this run is a check that changes nothing."),
    sends(
        "exit",
        &["exit()", "exit(value)"],
        "Ends the playbook here, as if its last statement had been reached; one that `play` called gives the value. \
         mk's status says what came of the steps, so no number can be given for it: `fail(message)` ends with 1. \
         Inside of `on`, `return` ends the host's part.",
    ),
    pure("env", &["env(name, otherwise)"], "A variable of mk's own environment, or another value where it is not set."),
    function(
        "fail",
        &["fail(message)"],
        "Ends the script with this message; inside of `on`, the host leaves the run and the others go on.",
    )
    .taking_secrets(),
    pure("file_text", &["file_text(src)"], "The text of a file on the control side, found like the `src` of `copy`."),
    sends(
        "flush_notified",
        &["host.flush_notified()"],
        "Runs the steps that were notified on the host so far now, each once, and not only at the end of its `on`.",
    ),
    pure(
        "get",
        &["host.get(name)", "host.get(name, otherwise)"],
        "A variable of the host; without `otherwise`, one that is not there is an error.",
    ),
    function(
        "forget_completed",
        &["forget_completed()"],
        "Makes `mk run --resume` skip nothing that completed before: for playbooks that undo what others did.\n\n\
         It holds for the project and inventory. In a check nothing is forgotten.",
    ),
    function(
        "has_random_secret",
        &["has_random_secret(name)"],
        "Whether mk's state keeps a random secret of that name.",
    ),
    pure("host", &["host(name)"], "The host of that name in the inventory."),
    pure(
        "hosts",
        &["hosts(pattern)"],
        "The hosts that a pattern means, in the inventory's order, whatever `--limit` says (see `within_limit`).\n\n\
         Patterns are names of hosts and groups, globs and ranges: `controllers`, `workers:!worker-3`, \
         `worker-[1..3]`, `a:&b`, `controllers[0]`.",
    ),
    function(
        "htpasswd",
        &["htpasswd(name, password)"],
        "A line of the file that web servers take names and passwords from, hashed with bcrypt: `name:$2y$10$…`.\n\n\
         It is the same in every run, as that of `password_hash`.",
    )
    .taking_secrets(),
    pure("in_group", &["host.in_group(group)"], "Whether the host is in a group, or in one below it."),
    pure(
        "joined",
        &["joined(list, between)"],
        "The values of a list as one text, with another text between each two: `names.joined(\", \")`.",
    )
    .taking_secrets(),
    pure(
        "later",
        &["later(op, subject)", "later(op, subject, parameters)"],
        "A step that is not run yet, for `notify`, which takes one or a list: it runs once, at the end of its `on`, when \
         something changed. mk keeps it until it has run, also when it is killed before: `mk pending` tells.",
    ),
    function(
        "learn",
        &["host.learn(name, value)"],
        "Gives the host's variable a value found out by this run, for the rest of it and for later runs: an address \
         that a network gave out. It beats the inventory's, and only the command line beats it; `mk vars HOST --why \
         NAME` tells which playbook it came from. In a check nothing is kept for later.",
    ),
    pure(
        "lines",
        &["lines(text)"],
        "The lines of a text as a list, without their ends: `outcome.stdout.lines()`. An empty text has none.",
    ),
    pure(
        "local",
        &["local()"],
        "The machine that mk runs on, as a host. `--limit` never leaves it out, unless the inventory names it.",
    ),
    sends("log", &["log(value)"], "Says something to whoever watches the run."),
    function(
        "made",
        &["host.made()"],
        "What mk made on the host and has not taken away, from its ledger, the oldest first: a list of maps with `op` and \
         `args`, the call that takes it away, `subject`, `by` (`FILE:LINE` of the call that made it) and `at`, in seconds \
         since 1970.\n\n\
         What was on the host before mk is not in it, nor what commands make, but for the path in their `creates`.",
    ),
    function("now", &["now()"], "The time on the control side, in seconds since 1970, with fractions."),
    closes(
        "on",
        &["on(hosts, closure)", "on(hosts, options, closure)"],
        "Runs the closure for every host at once, and waits until all are done.\n\n\
         `hosts` is a pattern, a host, or a list of them. Hosts outside of `--limit` and those that failed before are \
         passed over. The result has `ok` and `failed` (hosts), `values` and `errors` (by host name), and \
         `result[host]`. `options` may hold `batch` and `max_fail` (a count or a share such as `\"25%\"`), \
         `at_once` (how many run at the same time, with `by` the name of a variable: of each of its values), \
         `keep_going` (hosts that fail stay in the run; its status tells of them all the same), `order` (`\"inventory\"`, `\"reverse\"`, `\"sorted\"`), \
         `pause` (a time between batches) and `health` (a closure run after each batch).",
    ),
    function(
        "password_hash",
        &["password_hash(password)", "password_hash(password, options)"],
        "A password as `/etc/shadow` keeps it, for the `password_hash` of `user`.\n\n\
         `options` may hold `scheme`: `\"sha512\"` (`$6$`, which every Linux knows; as without it), `\"yescrypt\"` \
         (`$y$`) or `\"bcrypt\"` (`$2y$`); `rounds`; and `salt`, as it stands in such a hash. Without `salt`, it is made of the \
         password and of what mk's state keeps for this inventory, so that the hash is the same in every run: with \
         another state, give one, such as `sha256(host.name + \"alice\").sub_string(0, 16)`.",
    ),
    sends(
        "play",
        &["play(path)"],
        "Runs another playbook, found beside this one, to its end, and gives the value of its last statement.\n\n\
         With `mk run --resume` it is skipped, and gives nothing, when it completed before without a failed host, and \
         its script, what that imports and reads on this side, variables, hosts, limit, tasks, mk itself and the \
         machines it ran on are the same. Inside of an `on` it always runs. The machines' state is not looked at, and neither is what comes over the network. A \
         playbook that undoes what others did calls `forget_completed()`.",
    ),
    pure(
        "quote",
        &["quote(text)"],
        "A text as one word for a shell, in single quotes, whatever is in it. Of a secret, it is a secret.",
    ),
    function(
        "random_secret",
        &["random_secret(name, bytes)", "random_secret(name, bytes, form)"],
        "A handle on a secret of 8 to 1024 random bytes, made the first time and never again.\n\n\
         `form` is `\"base64\"`, as without it, or `\"hex\"`. It is kept in mk's state for this inventory. In a check nothing is kept.",
    ),
    closes(
        "run_once",
        &["run_once(hosts, closure)"],
        "Runs the closure for the first of the hosts that still takes part, and gives what it returned.",
    ),
    function(
        "secret",
        &["secret(from)"],
        "A secret: a value whose text the script never has, put in when a step leaves for its host, and masked in \
         everything shown.\n\n\
         `from` is `file.age#key`, `file:PATH`, `env:NAME` or `prompt:TEXT`. A secret can be put into text with `+` and \
         `${…}`, which gives a secret again, passed on to steps and templates, and compared with `()`. What else is done \
         with one, these do: `b64encode`, `b64decode`, `sha256`, `password_hash`, `htpasswd`, `to_json`, `to_yaml`, \
         `quote`, and in templates the filters of these names, `indent`, `trim` and `join`. Everything else, such as \
         `len` or `==`, is an error; but `switch` takes its default for one, since the language asks nobody there. \
         Arguments and environment of programs take none, since they show: use `stdin`, a file of mode 0600, or \
         `secret_argv: true` with a program that can do no other.",
    ),
    pure("sha256", &["sha256(text)"], "The SHA-256 of a text, in lower-case digits. Of a secret, it is a secret."),
    function(
        "shared_cert",
        &["shared_cert(name, wish)"],
        "A certificate and key that several hosts share, kept in mk's state.\n\n\
         `wish` holds what `cert` takes besides `path` and who owns the files: `ca`, `cn`, `o`, `sans`, `usage`, `valid`, \
         `renew`. The result has `cert` (PEM), `key` (a handle on the PEM) and `key_data` (a handle on its base64). The \
         certificate is issued again when the wish changes or it is about to expire; the key stays.",
    ),
    function("sleep", &["sleep(time)"], "Waits: a number of seconds, or a text such as `\"500ms\"`."),
    closes(
        "task",
        &["task(name, closure)"],
        "Names a group of steps, for the recap, JUnit and `--tags`. What the closure returns comes back.",
    ),
    pure(
        "to_json",
        &["to_json(value)"],
        "A value as JSON, in one line: texts in quotes, lists, maps. A secret in it is quoted by its own text.",
    ),
    pure("to_yaml", &["to_yaml(value)"], "A value as YAML. A secret in it is quoted by its own text."),
    function(
        "unlearn",
        &["host.unlearn(name)"],
        "Forgets what `learn` kept of the host's variable, in this run or an earlier one: what the inventory says of it \
         counts again, if it says anything. In a check it is forgotten until the check's end.",
    ),
    function(
        "unmake",
        &["host.unmake(things)"],
        "Takes things away from the host that `made` gave, the last made first, and strikes them off its ledger.\n\n\
         A directory goes when it is empty then, and so does a file into which mk put only a line or a block; the result \
         has `removed` and `kept`, lists of texts. A check takes nothing away and says what it would. \
         `host.unmake(host.made().filter(|thing| thing.by.contains(\"07-etcd\")))` takes away what one playbook made.",
    ),
    pure(
        "vars",
        &["vars()", "vars(name)", "vars(name, otherwise)"],
        "The variables that hold for every host: all as a map, or one. One that is not there is an error, or the \
         value given in its place.",
    ),
    sends(
        "warn",
        &["warn(value)"],
        "Says something that should not be overlooked. The same warning of several hosts is shown once, with all of \
         them; so leave their names out of it.",
    ),
    pure(
        "within_limit",
        &["within_limit(hosts)"],
        "Those of the hosts that `--limit` leaves: what `on` would run on if none had failed. Takes what `on` takes.",
    ),
];

/// The function of that name.
pub(crate) fn function_named(name: &str) -> Option<&'static Function> {
    FUNCTIONS.iter().find(|function| function.name == name)
}

/// What the language itself has, by name and number of values.
static STANDARD: LazyLock<Vec<(String, usize)>> = LazyLock::new(|| {
    let of = |info: rhai::FuncInfo| Some((info.metadata.name.to_string(), info.metadata.num_params));
    // Its logarithms are hidden by ours, which speaks.
    PLAIN.collect_fn_metadata(None, of, true).into_iter().filter(|(name, _)| name != "log").collect()
});

/// Whether every function of the language with this name and number of values gives nothing back.
pub(super) fn gives_nothing(name: &str, count: usize) -> bool {
    static GIVING: LazyLock<BTreeMap<(String, usize), bool>> = LazyLock::new(|| {
        let mut all = BTreeMap::new();
        let of = |info: rhai::FuncInfo| {
            let key = (info.metadata.name.to_string(), info.metadata.num_params);
            let gives = info.metadata.return_type.replace(' ', "");
            // A method that can fail gives its nothing in a wrapper.
            Some((key, matches!(gives.as_str(), "" | "()") || gives.contains("<()>") || gives.contains("<(),")))
        };
        for (key, nothing) in PLAIN.collect_fn_metadata(None, of, true) {
            let known = all.entry(key).or_insert(true);
            *known = *known && nothing;
        }
        all
    });
    GIVING.get(&(name.to_owned(), count)).copied().unwrap_or(false)
}

/// Whether a function of the language takes a closure, which may do anything. It may also come in a variable.
pub(super) fn takes_closure(name: &str) -> bool {
    static TAKING: LazyLock<BTreeSet<String>> = LazyLock::new(|| {
        let of = |info: rhai::FuncInfo| {
            // The first is what a method is called on.
            let takes = info.metadata.params_info.iter().skip(1).any(|parameter| parameter.contains("FnPtr"));
            takes.then(|| info.metadata.name.to_string())
        };
        PLAIN.collect_fn_metadata(None, of, true).into_iter().collect()
    });
    TAKING.contains(name)
}

/// Every function and method that a script can call without an import, with the number of values it takes, a
/// method's own object included.
pub(super) fn callable() -> impl Iterator<Item = (&'static str, usize)> {
    let added = FUNCTIONS.iter().flat_map(|function| function.arities().map(|count| (function.name, count)));
    let operations = crate::ops::OPS.iter().flat_map(|spec| (1..=3).map(|count| (spec.name, count)));
    STANDARD.iter().map(|(name, count)| (name.as_str(), *count)).chain(added).chain(operations)
}

/// Whether anything of that name can be called without an import.
pub(super) fn is_callable(name: &str) -> bool {
    static NAMES: LazyLock<BTreeSet<&'static str>> = LazyLock::new(|| callable().map(|(name, _)| name).collect());
    NAMES.contains(name)
}

/// The names among them that can be meant by a word.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    callable().map(|(name, _)| name).filter(|name| name.starts_with(|c: char| c.is_ascii_alphabetic()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_operation_hides_a_function_of_the_language() {
        let wrong: Vec<&str> = crate::ops::OPS
            .iter()
            .map(|spec| spec.name)
            .filter(|name| STANDARD.iter().any(|(standard, _)| standard == name))
            .collect();
        assert!(wrong.is_empty(), "{wrong:?}");
    }

    #[test]
    fn what_takes_a_closure_sends_what_that_leaves_waiting() {
        for function in FUNCTIONS {
            let takes = function.calls.iter().any(|call| call.contains("closure") || call.contains("body"));
            assert_eq!(takes, function.effect == Effect::Closes, "{}", function.name);
        }
    }

    /// The language tells of its functions in words, and may come to use others.
    #[test]
    fn what_takes_a_closure_is_known_of_the_language() {
        for name in [
            "all",
            "dedup",
            "drain",
            "filter",
            "find",
            "find_map",
            "for_each",
            "index_of",
            "map",
            "reduce",
            "reduce_rev",
            "retain",
            "some",
            "sort",
            "zip",
        ] {
            assert!(takes_closure(name), "{name}");
        }
        for name in ["len", "contains", "split", "to_string", "keys", "==", "name"] {
            assert!(!takes_closure(name), "{name}");
        }
    }

    #[test]
    fn what_works_in_place_is_known_to_give_nothing() {
        for (name, count) in
            [("trim", 1), ("make_upper", 1), ("push", 2), ("reverse", 1), ("clear", 1), ("replace", 3), ("sort", 1)]
        {
            assert!(gives_nothing(name, count), "{name}");
        }
        for (name, count) in
            [("split", 2), ("to_upper", 1), ("len", 1), ("pop", 1), ("map", 2), ("remove", 2), ("nowhere", 1)]
        {
            assert!(!gives_nothing(name, count), "{name}");
        }
    }

    #[test]
    fn a_method_takes_its_host_too() {
        let counts = |name: &str| function_named(name).map(|function| function.arities().collect::<Vec<_>>());
        assert_eq!(counts("get"), Some(vec![2, 3]));
        assert_eq!(counts("vars"), Some(vec![0, 1, 2]));
        assert_eq!(counts("on"), Some(vec![2, 3]));
    }
}
