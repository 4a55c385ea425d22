//! What goes over the wire: a step with nothing to do is one small frame there and one back, and content goes once.

use crate::support::Place;

/// What the steps of a run sent to the agent and got from it: frames there and back, bytes there and back.
type Traffic = [usize; 4];

/// The traffic of a run of a script whose first step takes the lock, from then on.
fn traffic(place: &Place, script: &str) -> Traffic {
    place.file("p.rhai", script);
    let output = place.command(&["run", "p.rhai", "--log", "frames.log"]).env("MK_LOG", "mk::wire=trace").output();
    let output = output.unwrap();
    assert!(output.status.success(), "{script}\n{}", String::from_utf8_lossy(&output.stdout));
    let log = std::fs::read_to_string(place.path().join("frames.log")).unwrap();
    // Other tests hold this machine's lock now and then; asking again for it belongs to no step.
    let log = log.rsplit_once("another run has the lock").map_or(log.as_str(), |(_, rest)| rest);
    let (_, log) = log.split_once("frame sent").unwrap();
    let (_, log) = log.split_once("frame received").unwrap();
    let mut all = Traffic::default();
    // What is cut off at the lock's answer is that line's end.
    for line in log.lines().skip(1) {
        let way = usize::from(line.contains("frame received"));
        let (_, bytes) = line.rsplit_once("bytes=").unwrap();
        all[way] += 1;
        all[2 + way] += bytes.parse::<usize>().unwrap();
    }
    all
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
    // Each step, and how many bytes it may take there and back: about a third more than it does.
    let steps = [
        (format!("here.dir(\"{folder}/a/b\", #{{ mode: \"0750\" }});"), 230, 200),
        (format!("here.copy(\"{folder}/text\", #{{ content: \"hi\\n\", mode: \"0600\" }});"), 400, 260),
        (format!("here.copy(\"{folder}/big\", #{{ src: \"big\" }});"), 370, 260),
        (format!("here.template(\"{folder}/t\", #{{ src: \"t.j2\", vars: #{{ name: \"x\" }} }});"), 390, 250),
        (format!("here.tree(\"{folder}/tree\", #{{ src: \"tree\" }});"), 450, 270),
        (format!("here.file(\"{folder}/empty\");"), 220, 200),
        (format!("here.file(\"{folder}/link\", #{{ state: \"link\", target: \"text\" }});"), 260, 200),
        (format!("here.line(\"{folder}/lines\", #{{ line: \"a = 1\", create: true }});"), 260, 200),
        (format!("here.block(\"{folder}/block\", #{{ name: \"n\", content: \"a\\nb\\n\", create: true }});"), 280, 200),
        ("here.run([\"true\"], #{ reads: true });".to_owned(), 210, 190),
        ("here.shell(\"true\", #{ reads: true });".to_owned(), 210, 190),
        (format!("here.run([\"touch\", \"{folder}/made\"], #{{ creates: \"{folder}/made\" }});"), 280, 170),
        ("here.facts(#{ only: [\"arch\"] });".to_owned(), 200, 140),
        (format!("here.wait(#{{ file: \"{folder}/text\" }});"), 220, 140),
    ];
    for (step, there, back) in steps {
        let script = |times: usize| {
            let before = format!(
                r#"
                    let here = local();
                    here.dir("{folder}");
                    {step}
                "#
            );
            before + format!("{step}\n").repeat(times).as_str()
        };
        // The first run may have something to do, and then more to say; so the one held against is a second one.
        traffic(&place, &script(0));
        let (few, many) = (traffic(&place, &script(0)), traffic(&place, &script(5)));
        // Two steps, and the goodbye.
        assert_eq!((few[0], few[1]), (3, 2), "{step}");
        let each = [0, 1, 2, 3].map(|at| (many[at] - few[at]).div_ceil(5));
        assert_eq!((each[0], each[1]), (1, 1), "{step}");
        assert!(each[2] <= there && each[3] <= back, "{step}: {} bytes there, {} back", each[2], each[3]);
    }
}

#[test]
fn a_file_goes_to_the_host_once_and_only_when_it_is_not_there() {
    // Whole chunks and a rest.
    let size = 3 * mk::wire::CHUNK + 1000;
    let noise: Vec<u8> = std::iter::successors(Some(1u64), |n| Some(n.wrapping_mul(6_364_136_223_846_793_005) + 1))
        .flat_map(|n| n.to_be_bytes()[..4].to_vec())
        .take(size)
        .collect();
    // The four pieces and the empty one that ends them; and the question for them.
    let [sent, asked, bytes, back] = cost_of_copying(&noise);
    assert_eq!((sent, asked), (5, 1));
    assert!((size..size + 200).contains(&bytes), "{bytes} bytes for a file of {size}");
    assert!(back < 800, "{back} bytes came back");
    // What can be said in fewer bytes is.
    let text = "0123456789abcde\n".repeat(size / 16 + 1);
    let [sent, asked, bytes, _] = cost_of_copying(&text.as_bytes()[..size]);
    assert_eq!((sent, asked), (5, 1));
    assert!(bytes < size / 50, "{bytes} bytes for a text of {size} that repeats itself");
}

/// The traffic that copying a file takes, more than looking at it once it is there.
fn cost_of_copying(content: &[u8]) -> [usize; 4] {
    let place = Place::new();
    place.file("files/big", "");
    std::fs::write(place.path().join("files/big"), content).unwrap();
    let folder = place.path().join("made");
    let folder = folder.display();
    let script = format!(
        r#"
            let here = local();
            here.dir("{folder}");
            here.copy("{folder}/big", #{{ src: "big", mode: "0644" }});
        "#
    );
    let (first, again) = (traffic(&place, &script), traffic(&place, &script));
    assert_eq!(std::fs::read(place.path().join("made/big")).unwrap(), content);
    [0, 1, 2, 3].map(|at| first[at] - again[at])
}
