//! A step with nothing to do is one frame there and one back.

use crate::support::Place;

/// How many frames went to agents and came from them in a run of a script.
fn frames(place: &Place, script: &str) -> (usize, usize) {
    place.file("p.rhai", script);
    let output = place.command(&["run", "p.rhai", "--log", "frames.log"]).env("MK_LOG", "mk::wire=trace").output();
    let output = output.unwrap();
    assert!(output.status.success(), "{script}\n{}", String::from_utf8_lossy(&output.stdout));
    let log = std::fs::read_to_string(place.path().join("frames.log")).unwrap();
    (log.matches("frame sent").count(), log.matches("frame received").count())
}

#[test]
fn a_step_with_nothing_to_do_is_one_frame_there_and_one_back() {
    let place = Place::new();
    let big = "0123456789abcdef\n".repeat(20_000);
    place.file("files/big", &big);
    place.file("files/t.j2", "{{ name }}\n");
    place.file("files/tree/one/two", "x\n");
    let folder = place.path().join("made");
    let folder = folder.display();
    let steps = [
        format!("here.dir(\"{folder}/a/b\", #{{ mode: \"0750\" }});"),
        format!("here.copy(\"{folder}/text\", #{{ content: \"hi\\n\", mode: \"0600\" }});"),
        format!("here.copy(\"{folder}/big\", #{{ src: \"big\" }});"),
        format!("here.template(\"{folder}/t\", #{{ src: \"t.j2\", vars: #{{ name: \"x\" }} }});"),
        format!("here.file(\"{folder}/empty\");"),
        format!("here.file(\"{folder}/link\", #{{ state: \"link\", target: \"text\" }});"),
        format!("here.line(\"{folder}/lines\", #{{ line: \"a = 1\", create: true }});"),
        format!("here.block(\"{folder}/block\", #{{ name: \"n\", content: \"a\\nb\\n\", create: true }});"),
        "here.run([\"true\"], #{ reads: true });".to_owned(),
        "here.shell(\"true\", #{ reads: true });".to_owned(),
        format!("here.run([\"touch\", \"{folder}/made\"], #{{ creates: \"{folder}/made\" }});"),
        "here.facts(#{ only: [\"arch\"] });".to_owned(),
        format!("here.wait(#{{ file: \"{folder}/text\" }});"),
    ];
    for step in steps {
        let script = |times: usize| {
            let before = format!("let here = local();\nhere.dir(\"{folder}\");\n{step}\n");
            before + format!("{step}\n").repeat(times).as_str()
        };
        let (sent, received) = frames(&place, &script(0));
        let (sent_more, received_more) = frames(&place, &script(5));
        // The first run may have something to do, and then more to say; so the one held against is a second one.
        let (sent_again, received_again) = frames(&place, &script(0));
        assert!(sent >= sent_again && received >= received_again && sent_again > 2, "{step}");
        assert_eq!((sent_more - sent_again, received_more - received_again), (5, 5), "{step}");
    }
}
