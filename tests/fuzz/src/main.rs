//! Every reader of bytes that mk did not write, behind one libFuzzer entry: `MK_FUZZ` names the target.
//!
//! A target fails by panicking, by taking more than its time or memory, or by breaking the property it asserts.
#![no_main]

use std::path::Path;
use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use mk::control::{Archives, Cache, Stored, Templates};
use mk::inventory::{Extras, Inventory};
use mk::secret::{Masked, Secrets};
use mk::trust::Guard;

static TARGET: OnceLock<String> = OnceLock::new();

fuzz_target!(|data: &[u8]| {
    let target = TARGET.get_or_init(|| std::env::var("MK_FUZZ").expect("MK_FUZZ names the target"));
    match target.as_str() {
        "frames" => frames(data),
        "messages" => messages(data),
        "inventory" => inventory(data),
        "patterns" => patterns(data),
        "artifacts" => artifacts(data),
        "templates" => templates(data),
        "scripts" => scripts(data),
        "archives" => archives(data),
        "masking" => masking(data),
        other => panic!("there is no target {other}"),
    }
});

/// The same frames come out of a stream whether it is read in one go or in pieces.
fn frames(data: &[u8]) {
    let mut whole = Vec::new();
    let mut stream = data;
    while let Ok(Some(frame)) = mk::wire::read_frame(&mut stream) {
        whole.push(frame);
    }
    let mut pieces = Vec::new();
    let mut buffer = Vec::new();
    'all: for piece in data.chunks(7) {
        buffer.extend_from_slice(piece);
        loop {
            match mk::wire::decode(&mut buffer) {
                Ok(Some(frame)) => pieces.push(frame),
                Ok(None) => break,
                Err(_) => break 'all,
            }
        }
    }
    assert_eq!(whole, pieces);
    for frame in whole {
        let mut bytes = mk::wire::encode(&frame);
        assert_eq!(mk::wire::decode(&mut bytes).ok().flatten(), Some(frame));
    }
}

/// What a host may send, and what an agent may be sent.
fn messages(data: &[u8]) {
    let _: Result<mk::wire::FromAgent, _> = mk::wire::from_body(data);
    let _: Result<mk::wire::ToAgent, _> = mk::wire::from_body(data);
}

/// An inventory's file.
fn inventory(data: &[u8]) {
    let folder = scratch();
    std::fs::write(folder.join("inventory.yml"), data).expect("scratch");
    if let Ok(inventory) = Inventory::load(folder, &Extras::default(), &Guard::default()) {
        inventory.select("all").expect("`all` is always a pattern");
    }
}

/// A pattern against an inventory with groups and ranges.
fn patterns(data: &[u8]) {
    static KNOWN: OnceLock<Inventory> = OnceLock::new();
    let known = KNOWN.get_or_init(|| {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../inventories/iximiuz");
        Inventory::load(&path, &Extras::default(), &Guard::default()).expect("the tree's own inventory")
    });
    if let Ok(pattern) = std::str::from_utf8(data)
        && let Ok(hosts) = known.select(pattern)
    {
        assert!(hosts.len() <= 13, "a host twice");
    }
}

/// A lock of artifacts.
fn artifacts(data: &[u8]) {
    if let Ok(text) = std::str::from_utf8(data) {
        let _ = mk::control::parse_lock("artifacts.lock.yaml", text);
    }
}

/// A template: its names, and its text.
fn templates(data: &[u8]) {
    if let Ok(text) = std::str::from_utf8(data) {
        let templates = Templates::new();
        let _ = templates.names("t.j2", text);
        let _ = templates.render("t.j2", text, &serde_json::Map::new());
    }
}

/// A playbook, as `mk lint` reads it.
fn scripts(data: &[u8]) {
    let file = scratch().join("p.rhai");
    std::fs::write(&file, data).expect("scratch");
    let around = mk::script::Surroundings { sources: mk::control::Sources::new(scratch().to_owned()), inventory: None };
    let mut linter = mk::script::Linter::new();
    let _ = linter.read(&file, &around);
    let _ = linter.findings();
}

/// An archive: no member of its index may leave the target.
fn archives(data: &[u8]) {
    let folder = scratch();
    let path = folder.join("archive");
    std::fs::write(&path, data).expect("scratch");
    let archives = Archives::new(Cache::at(folder.join("cache")));
    let stored = Stored { path, sha256: "0".repeat(64), size: data.len() as u64 };
    let _ = std::fs::remove_dir_all(folder.join("cache"));
    if let Ok(index) = archives.index(&stored, "archive") {
        for member in &index.members {
            assert!(!member.path.starts_with('/') && !member.path.split('/').any(|part| part == ".."), "{}", member.path);
        }
    }
}

/// A secret cut anywhere is masked as in one piece.
fn masking(data: &[u8]) {
    let Some((cut, text)) = data.split_first() else { return };
    let secrets = Secrets::default();
    secrets.add("s", "correct horse").expect("long enough");
    let text = String::from_utf8_lossy(text);
    let mut bytes = b"correct ".to_vec();
    bytes.extend_from_slice(b"horse");
    bytes.extend_from_slice(text.as_bytes());
    let cut = usize::from(*cut).min(bytes.len());
    let mut masked = Masked::new(secrets.clone());
    let mut out = masked.push(&bytes[..cut]);
    out += &masked.push(&bytes[cut..]);
    out += &masked.finish();
    assert!(!out.contains("correct horse"));
}

/// A folder of this process, in memory.
fn scratch() -> &'static Path {
    static FOLDER: OnceLock<tempfile::TempDir> = OnceLock::new();
    FOLDER.get_or_init(|| tempfile::tempdir_in("/dev/shm").expect("/dev/shm can be written to")).path()
}
