//! Every operation's examples, run on a real host: they must do what they say, twice, and be foretold.

use mk::op::Class;
use mk::ops::OPS;

use crate::support::{Run, script};

/// The host that examples may do anything to.
const HOST: &str = "worker-3";

/// The statuses of this operation's own steps.
fn own(run: &Run, op: &str) -> Vec<String> {
    let steps = run.done().into_iter().filter(|done| done.call.starts_with(&format!("{op} ")));
    steps.map(|done| done.status).collect()
}

#[test]
fn examples_do_what_they_say_and_are_foretold() {
    let mut wrong = Vec::new();
    for spec in OPS {
        for example in spec.examples {
            let text = format!("on(\"{HOST}\", |host| {{\n{}\n}});", example.code);
            let mut tell =
                |what: &str, run: &Run| wrong.push(format!("{}: {}: {what}\n{}", spec.name, example.title, run.all));
            let checked = script(&text, &["--check"]);
            let first = script(&text, &[]);
            if first.code != 0 {
                tell("it fails", &first);
                continue;
            }
            let second = script(&text, &[]);
            if second.code != 0 {
                tell("the second run fails", &second);
            }
            let last = script(&text, &["--check"]);
            let statuses =
                [own(&checked, spec.name), own(&first, spec.name), own(&second, spec.name), own(&last, spec.name)];
            let [before, did, again, after] = &statuses;
            if spec.class == Class::Fact {
                if did.iter().any(|status| status != "read") {
                    tell(&format!("a fact gives {did:?}"), &first);
                }
                continue;
            }
            for (foretold, came) in before.iter().zip(did) {
                let right = matches!(
                    (foretold.as_str(), came.as_str()),
                    ("would_change" | "would_run", "changed") | ("unknown", _)
                ) || foretold == came;
                if !right {
                    tell(&format!("foretold {foretold}, came {came}"), &checked);
                }
            }
            if spec.class == Class::Resource {
                if again.iter().any(|status| status != "ok") {
                    tell(&format!("the second run gives {again:?}"), &second);
                }
                if after.iter().any(|status| status != "ok") {
                    tell(&format!("a check after it gives {after:?}"), &last);
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n----\n"));
}
