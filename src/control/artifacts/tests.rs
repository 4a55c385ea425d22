//! Downloads from a server of the test's own.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use super::*;

/// What the server does with a file.
#[derive(Clone, Copy, PartialEq)]
enum Manner {
    /// Gives what is asked for.
    Good,
    /// Breaks off after so many bytes of an answer.
    BreaksOffAfter(usize),
    /// Gives the whole file whatever is asked for.
    IgnoresRanges,
}

/// A server of one file at `/file`, and of a lock of its own.
struct Server {
    url: String,
    /// The range of every request for the file; empty for none.
    asked: Arc<Mutex<Vec<String>>>,
}

fn serve(content: &[u8], manner: Manner, lock: String) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let asked = Arc::new(Mutex::new(Vec::new()));
    let (content, seen) = (content.to_vec(), Arc::clone(&asked));
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            answer(&stream.unwrap(), &content, manner, &lock, &seen);
        }
    });
    Server { url, asked }
}

fn answer(mut stream: &TcpStream, content: &[u8], manner: Manner, lock: &str, asked: &Mutex<Vec<String>>) {
    let mut lines = BufReader::new(stream).lines().map_while(Result::ok).take_while(|line| !line.is_empty());
    let Some(first) = lines.next() else { return };
    let range = lines.filter_map(|line| line.to_lowercase().strip_prefix("range: bytes=").map(str::to_owned)).last();
    let path = first.split(' ').nth(1).unwrap_or_default();
    if path.ends_with(FILE) {
        let length = lock.len();
        write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{lock}").unwrap();
        return;
    }
    if path == "/file.sha256" {
        let sum = format!("{}  file\n", crate::change::digest(content));
        let length = sum.len();
        write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{sum}").unwrap();
        return;
    }
    if path != "/file" {
        write!(stream, "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").unwrap();
        return;
    }
    asked.lock().unwrap().push(range.clone().unwrap_or_default());
    let from: usize = range.and_then(|range| range.trim_end_matches('-').parse().ok()).unwrap_or(0);
    let from = if manner == Manner::IgnoresRanges { 0 } else { from };
    let rest = content.get(from..).unwrap_or_default();
    let status = match from {
        0 => "200 OK".to_owned(),
        from if from >= content.len() => "416 Range Not Satisfiable".to_owned(),
        from => format!("206 Partial Content\r\nContent-Range: bytes {from}-{}/{}", content.len() - 1, content.len()),
    };
    write!(stream, "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", rest.len()).unwrap();
    let length = match manner {
        Manner::BreaksOffAfter(length) => length.min(rest.len()),
        _ => rest.len(),
    };
    let _ = stream.write_all(&rest[..length]);
}

fn bytes() -> Vec<u8> {
    (0..100_000_u32).flat_map(u32::to_le_bytes).collect()
}

fn sums(bytes: &[u8]) -> Sums {
    Sums { sha256: Some(crate::change::digest(bytes)), sha512: None }
}

struct Place {
    folder: tempfile::TempDir,
    cache: Cache,
}

fn place() -> Place {
    let folder = tempfile::tempdir().unwrap();
    let cache = Cache::at(folder.path().join("cache"));
    Place { folder, cache }
}

#[test]
fn a_download_that_breaks_off_goes_on_where_it_was() {
    let (place, content) = (place(), bytes());
    let server = serve(&content, Manner::BreaksOffAfter(150_000), String::new());
    let stored = place.cache.fetched(&format!("{}/file", server.url), &sums(&content)).unwrap();
    assert_eq!(std::fs::read(&stored.path).unwrap(), content);
    assert_eq!((stored.size, stored.sha256), (400_000, crate::change::digest(&content)));
    assert_eq!(*server.asked.lock().unwrap(), ["", "150000-", "300000-"]);
}

#[test]
fn what_is_here_is_not_fetched_again() {
    let (place, content) = (place(), bytes());
    let server = serve(&content, Manner::Good, String::new());
    let url = format!("{}/file", server.url);
    place.cache.fetched(&url, &sums(&content)).unwrap();
    place.cache.fetched(&url, &sums(&content)).unwrap();
    assert_eq!(server.asked.lock().unwrap().len(), 1);
}

#[test]
fn a_damaged_file_of_the_cache_is_fetched_again() {
    let (place, content) = (place(), bytes());
    let server = serve(&content, Manner::Good, String::new());
    let url = format!("{}/file", server.url);
    let stored = place.cache.fetched(&url, &sums(&content)).unwrap();
    std::fs::write(&stored.path, "damaged").unwrap();
    assert_eq!(place.cache.fetched(&url, &sums(&content)).unwrap(), stored);
    assert_eq!(server.asked.lock().unwrap().len(), 2);
}

#[test]
fn half_of_another_file_is_thrown_away_and_not_gone_on_with() {
    let (place, content) = (place(), bytes());
    let name = sums(&content).name();
    for (manner, old) in [
        (Manner::Good, 1000),
        (Manner::IgnoresRanges, 1000),
        (Manner::Good, content.len() + 1),
        (Manner::Good, content.len()),
    ] {
        let files = place.cache.dir("files").unwrap();
        let _ = std::fs::remove_file(files.join(&name));
        std::fs::write(files.join(format!("{name}.part")), vec![9; old]).unwrap();
        let server = serve(&content, manner, String::new());
        let stored = place.cache.fetched(&format!("{}/file", server.url), &sums(&content)).unwrap();
        assert_eq!(std::fs::read(&stored.path).unwrap(), content);
        assert!(!files.join(format!("{name}.part")).exists());
    }
}

#[test]
fn other_bytes_than_those_of_the_lock_are_refused_and_not_kept() {
    let (place, content) = (place(), bytes());
    let server = serve(&content, Manner::Good, String::new());
    let url = format!("{}/file", server.url);
    let error = place.cache.fetched(&url, &sums(b"something else")).unwrap_err();
    assert_eq!(error.message(), format!("`{url}` is not what was expected"));
    assert!(error.to_string().contains(&format!("its sha256 is {}", crate::change::digest(&content))), "{error}");
    assert_eq!(std::fs::read_dir(place.cache.dir("files").unwrap()).unwrap().count(), 0);
}

#[test]
fn what_is_not_there_is_told_with_its_address() {
    let (place, server) = (place(), serve(b"", Manner::Good, String::new()));
    let error = place.cache.fetched(&format!("{}/gone", server.url), &sums(b"x")).unwrap_err();
    assert_eq!(error.to_string(), format!("cannot fetch `{}/gone`: the server says 404 Not Found", server.url));
}

#[test]
fn sums_of_both_lengths_are_checked() {
    let place = place();
    let path = place.folder.path().join("f");
    std::fs::write(&path, "abc").unwrap();
    let long = "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f";
    let right = Sums::of(None, Some(long)).unwrap();
    assert_eq!(place.cache.verified(&path, &right).unwrap().sha256, crate::change::digest(b"abc"));
    let wrong = Sums::of(None, Some(&long.replace('d', "e"))).unwrap();
    assert!(place.cache.verified(&path, &wrong).unwrap_err().message().starts_with("its sha512 is ddaf"));
}

fn entry(name: &str, version: &str, url: &str, bytes: &[u8]) -> String {
    format!(
        "- {{name: {name}, version: {version}, arch: amd64, url: '{url}', sha256: {}}}\n",
        crate::change::digest(bytes)
    )
}

fn project(place: &Place, lock: &str) -> Artifacts {
    std::fs::write(place.folder.path().join(FILE), lock).unwrap();
    Artifacts::new(place.folder.path().to_owned(), place.cache.clone())
}

#[test]
fn a_mirror_overrides_the_project_with_sums_of_its_own() {
    let place = place();
    let mirror = place.folder.path().join("mirror");
    std::fs::create_dir(&mirror).unwrap();
    std::fs::write(mirror.join("e.tgz"), "ours").unwrap();
    std::fs::write(
        mirror.join(FILE),
        entry("etcd", "3.6.14", "e.tgz", b"ours") + entry("extra", "1", "x", b"x").as_str(),
    )
    .unwrap();
    let lock = entry("etcd", "3.6.14", "https://nowhere.invalid/e.tgz", b"theirs")
        + entry("runc", "1", "https://nowhere.invalid/r", b"r").as_str();
    let artifacts = project(&place, &lock);
    for named in ["mirror", mirror.to_str().unwrap()] {
        let found = artifacts.find("etcd", None, "amd64", Some(named)).unwrap();
        let stored = artifacts.get(&found).unwrap();
        assert_eq!(std::fs::read_to_string(stored.path).unwrap(), "ours");
    }
    assert!(artifacts.find("runc", None, "amd64", Some("mirror")).unwrap().entry.is_remote());
    assert!(artifacts.find("extra", None, "amd64", None).is_err());
    std::fs::write(mirror.join("e.tgz"), "tampered").unwrap();
    let found = artifacts.find("etcd", None, "amd64", Some("mirror")).unwrap();
    let error = artifacts.get(&found).unwrap_err();
    assert!(error.message().ends_with("mirror/e.tgz` is not what was expected"), "{error}");
    assert!(error.hints()[0].starts_with("etcd 3.6.14 amd64 is in line 1 of"), "{:?}", error.hints());
}

#[test]
fn a_mirror_on_the_network_is_pinned_or_on_this_machine_or_spoken_to_over_tls() {
    let place = place();
    let content = bytes();
    let lock = entry("etcd", "3.6.14", "file", &content);
    let server = serve(&content, Manner::Good, lock.clone());
    let artifacts = project(&place, "");
    let found = artifacts.find("etcd", None, "amd64", Some(&server.url)).unwrap();
    assert_eq!(artifacts.get(&found).unwrap().size, 400_000);
    let pinned = |sum: &str| format!("{}/#sha256={sum}", server.url);
    let all = |mirror: &str| Artifacts::new(place.folder.path().to_owned(), place.cache.clone()).all(Some(mirror));
    assert_eq!(all(&pinned(&crate::change::digest(lock.as_bytes()))).unwrap().len(), 1);
    assert!(all(&pinned("00")).unwrap_err().message().starts_with("the lock of the mirror is not the one"));
    assert!(all("http://mirror.invalid/").unwrap_err().message().contains("in the clear"));
    assert!(all("http://localhost.evil.invalid/").unwrap_err().message().contains("in the clear"));
    assert!(all("http://127.evil.invalid/").unwrap_err().message().contains("in the clear"));
}

#[test]
fn a_version_is_needed_only_where_there_are_several() {
    let place = place();
    let lock = entry("kubernetes-node", "1.32.2", "https://x/a", b"a")
        + entry("kubernetes-node", "1.32.12", "https://x/b", b"b").as_str();
    let artifacts = project(&place, &lock);
    let find = |name: &str, version: Option<&str>, arch: &str| artifacts.find(name, version, arch, None);
    let error = find("kubernetes-node", None, "amd64").unwrap_err();
    assert_eq!(error.message(), "there are several artifacts `kubernetes-node` for amd64");
    assert_eq!(error.hints(), ["say which `version`: 1.32.2 (amd64), 1.32.12 (amd64)"]);
    assert_eq!(find("kubernetes-node", Some("1.32.2"), "amd64").unwrap().entry.url, "https://x/a");
    let error = find("kubernetes-node", Some("1.32.2"), "arm64").unwrap_err();
    assert_eq!(error.message(), "there is no artifact `kubernetes-node 1.32.2` for arm64");
    assert_eq!(find("kubernetes-nodes", None, "amd64").unwrap_err().hints(), ["did you mean `kubernetes-node`?"]);
}

#[test]
fn a_lock_is_completed_with_the_sums_that_are_published() {
    let (place, content) = (place(), bytes());
    let server = serve(&content, Manner::Good, String::new());
    let file = place.folder.path().join(FILE);
    let line = |name: &str, url: &str, sum: &str| {
        format!("- {{name: {name}, version: 1.0.0, arch: any, url: '{url}'{sum}}}\n")
    };
    let (known, unknown) = (format!("{}/file", server.url), format!("{}/other", server.url));
    std::fs::write(&file, line("a", &known, "") + line("b", &unknown, "").as_str()).unwrap();
    let completed = complete(&file, &Guard::default()).unwrap();
    assert_eq!(completed.found[0].1, format!("{known}.sha256"));
    assert_eq!(completed.missing[0].name, "b");
    let sum = format!(", sha256: {}", crate::change::digest(&content));
    assert_eq!(std::fs::read_to_string(&file).unwrap(), line("a", &known, &sum) + line("b", &unknown, "").as_str());
    assert!(lock::read(&file, &Guard::default()).unwrap_err().message().starts_with("b 1.0.0 any has neither"));
}

#[test]
fn a_reader_of_a_file_sees_all_of_it() {
    let (place, content) = (place(), bytes());
    let server = serve(&content, Manner::Good, String::new());
    let stored = place.cache.unverified(&format!("{}/file", server.url)).unwrap();
    let mut read = Vec::new();
    std::fs::File::open(stored.path).unwrap().read_to_end(&mut read).unwrap();
    assert_eq!(read, content);
}
