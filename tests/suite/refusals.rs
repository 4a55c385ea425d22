//! Content that is not what it should be: refused before anything of it reaches its place.

use std::io::{Read, Write};
use std::process::Command;

use crate::support::Place;

/// Serves these bytes to everybody who asks, at an address of its own.
fn served(bytes: &'static [u8]) -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let _ = stream.read(&mut [0; 4096]);
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", bytes.len());
            let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(bytes));
        }
    });
    format!("http://{address}/file")
}

#[test]
fn a_download_with_another_sum_leaves_the_old_content_and_nothing_else() {
    let place = Place::new();
    let (folder, url) = (place.path().join("to"), served(b"tampered with\n"));
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("f"), "old").unwrap();
    let sum = "a".repeat(64);
    let path = folder.join("f").display().to_string();
    place.file("p.rhai", &format!("local().download(\"{path}\", #{{ url: \"{url}\", sha256: \"{sum}\" }});"));
    let ran = place.mk(&["run", "p.rhai"]);
    let said = format!("{}{}", ran.stdout, ran.stderr);
    assert_ne!(ran.code, 0, "{said}");
    // Both sums are named: the one wanted, and that of what came.
    assert!(said.contains(&sum) && said.contains(&mk::change::digest(b"tampered with\n")), "{said}");
    assert_eq!(std::fs::read_to_string(folder.join("f")).unwrap(), "old");
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 1);
}

#[test]
fn an_archive_that_leads_out_of_its_target_is_refused_whole() {
    let place = Place::new();
    place.file("src/in", "in\n");
    place.file("evil", "evil\n");
    let mut packing = Command::new("tar");
    packing.args(["-cPf", "../a.tar", "in", "../evil"]).current_dir(place.path().join("src"));
    assert!(packing.status().unwrap().success());
    std::fs::remove_file(place.path().join("evil")).unwrap();
    let target = place.path().join("to");
    place.file(
        "p.rhai",
        &format!(
            r#"
                let here = local();
                here.dir("{0}");
                here.unpack("{0}", #{{ src: "a.tar" }});
            "#,
            target.display()
        ),
    );
    let ran = place.mk(&["run", "p.rhai"]);
    let said = format!("{}{}", ran.stdout, ran.stderr);
    assert_ne!(ran.code, 0, "{said}");
    assert!(said.contains("refusing to unpack `../evil`\n  because: its path leads out of the target"), "{said}");
    assert!(!place.path().join("evil").exists());
    assert_eq!(std::fs::read_dir(&target).map_or(0, Iterator::count), 0, "nothing of it is unpacked");
}
