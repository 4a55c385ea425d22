//! Archives built here, good and hostile.

use std::io::Write;
use std::path::PathBuf;

use ::tar::{Builder, EntryType, Header};

use super::*;

/// A folder with a cache, and archives written into it.
struct Place {
    folder: tempfile::TempDir,
    archives: Archives,
    cache: Cache,
}

fn place() -> Place {
    let folder = tempfile::tempdir().unwrap();
    let cache = Cache::at(folder.path().join("cache"));
    Place { archives: Archives::new(cache.clone()), cache, folder }
}

impl Place {
    fn put(&self, bytes: &[u8]) -> Stored {
        let path: PathBuf = self.folder.path().join("archive");
        std::fs::write(&path, bytes).unwrap();
        Stored { path, sha256: crate::change::digest(bytes), size: bytes.len() as u64 }
    }

    fn index(&self, bytes: &[u8]) -> Result<Arc<Index>> {
        self.archives.index(&self.put(bytes), "a.tar")
    }

    /// The fault of unpacking all of an archive.
    fn fault(&self, bytes: &[u8]) -> String {
        self.index(bytes).and_then(|index| Choice::default().of(&index)).unwrap_err().to_string()
    }
}

/// One member: the path as bytes, so that it can be what no library would write.
fn member(builder: &mut Builder<Vec<u8>>, path: &str, kind: EntryType, target: &str, mode: u32, content: &[u8]) {
    let mut header = Header::new_gnu();
    let gnu = header.as_gnu_mut().unwrap();
    gnu.name[..path.len()].copy_from_slice(path.as_bytes());
    gnu.linkname[..target.len()].copy_from_slice(target.as_bytes());
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(content.len() as u64);
    header.set_cksum();
    builder.append(&header, content).unwrap();
}

/// A member to be packed: path, type, target, mode, content.
type Packed<'a> = (&'a str, EntryType, &'a str, u32, &'a [u8]);

fn tar(members: &[Packed]) -> Vec<u8> {
    let mut builder = Builder::new(Vec::new());
    for (path, kind, target, mode, content) in members {
        member(&mut builder, path, *kind, target, *mode, content);
    }
    builder.into_inner().unwrap()
}

fn file(path: &str) -> Packed<'_> {
    (path, EntryType::Regular, "", 0o644, b"x")
}

fn good() -> Vec<u8> {
    tar(&[
        ("top/", EntryType::Directory, "", 0o755, b""),
        ("top/prog", EntryType::Regular, "", 0o755, b"program"),
        ("top/same", EntryType::Link, "top/prog", 0o644, b""),
        ("top/link", EntryType::Symlink, "prog", 0o777, b""),
        ("top/empty", EntryType::Regular, "", 0o600, b""),
    ])
}

fn packed(tar: &[u8]) -> Vec<Vec<u8>> {
    let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gz.write_all(tar).unwrap();
    let mut xz = liblzma::write::XzEncoder::new(Vec::new(), 1);
    xz.write_all(tar).unwrap();
    vec![tar.to_vec(), gz.finish().unwrap(), xz.finish().unwrap(), zstd::encode_all(tar, 1).unwrap()]
}

fn zip(members: &[(&str, u32, &[u8])]) -> Vec<u8> {
    let mut writer = ::zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (path, mode, content) in members {
        let options = ::zip::write::SimpleFileOptions::default().unix_permissions(*mode);
        if mode & 0o170_000 == 0o120_000 {
            writer.add_symlink(*path, std::str::from_utf8(content).unwrap(), options).unwrap();
        } else {
            writer.start_file(*path, options).unwrap();
            writer.write_all(content).unwrap();
        }
    }
    writer.finish().unwrap().into_inner()
}

#[test]
fn every_format_of_tar_is_read_alike() {
    for bytes in packed(&good()) {
        let place = place();
        let index = place.index(&bytes).unwrap();
        let program = MemberKind::File { sha256: crate::change::digest(b"program"), size: 7 };
        let seen: Vec<_> = index.members.iter().map(|m| (m.path.as_str(), m.mode, m.what.clone())).collect();
        assert_eq!(seen[1], ("top/prog", 0o755, program.clone()));
        assert_eq!(seen[2], ("top/same", 0o755, program));
        assert_eq!(seen[3].2, MemberKind::Link("prog".to_owned()));
        assert_eq!(Choice::default().of(&index).unwrap().len(), 5);
    }
}

#[test]
fn a_zip_is_read_with_modes_and_links() {
    let place = place();
    let bytes = zip(&[("bin/prog", 0o755, b"program"), ("link", 0o120_777, b"bin/prog")]);
    let index = place.index(&bytes).unwrap();
    assert_eq!(index.members[0].what, MemberKind::File { sha256: crate::change::digest(b"program"), size: 7 });
    assert_eq!((index.members[0].mode, &index.members[1].what), (0o755, &MemberKind::Link("bin/prog".to_owned())));
    assert_eq!(Choice::default().of(&index).unwrap().len(), 2);
}

#[test]
fn only_members_wanted_are_taken_out_and_only_once() {
    let place = place();
    let stored = place.put(&packed(&good())[1]);
    let index = place.archives.index(&stored, "a").unwrap();
    let wanted = [crate::change::digest(b"program")];
    let read = || {
        let mut text = String::new();
        place.archives.open(&stored, &index, &wanted, &wanted[0]).unwrap().read_to_string(&mut text).unwrap();
        text
    };
    assert_eq!(read(), "program");
    std::fs::remove_file(&stored.path).unwrap();
    assert_eq!(read(), "program");
    assert_eq!(std::fs::read_dir(place.cache.folder().join("members")).unwrap().count(), 1);
}

#[test]
fn an_index_is_kept_by_the_digest_of_its_archive() {
    let place = place();
    let stored = place.put(&good());
    let index = place.archives.index(&stored, "a").unwrap();
    std::fs::remove_file(&stored.path).unwrap();
    assert_eq!(Archives::new(place.cache.clone()).index(&stored, "a").unwrap(), index);
}

#[test]
fn long_names_are_read_in_every_way_they_are_written() {
    let long = format!("{}/file", "d".repeat(150));
    let mut builder = Builder::new(Vec::new());
    let mut header = Header::new_gnu();
    header.set_size(1);
    header.set_mode(0o644);
    builder.append_data(&mut header, &long, &b"x"[..]).unwrap();
    builder.append_pax_extensions([("path", &b"from/pax"[..]), ("mtime", &b"1.5"[..])]).unwrap();
    member(&mut builder, "short", EntryType::Regular, "", 0o644, b"y");
    let index = place().index(&builder.into_inner().unwrap()).unwrap();
    let paths: Vec<&str> = index.members.iter().map(|member| member.path.as_str()).collect();
    assert_eq!(paths, [long.as_str(), "from/pax"]);
}

#[test]
fn hostile_members_are_refused_by_name() {
    use EntryType as T;
    let cases: &[(&[Packed], &str)] = &[
        (&[file("../x")], "refusing to unpack `../x`: its path leads out of the target"),
        (&[file("a/../../x")], "refusing to unpack `a/../../x`: its path leads out of the target"),
        (&[file("/etc/cron.d/x")], "refusing to unpack `/etc/cron.d/x`: its path is absolute"),
        (
            &[("l", T::Symlink, "/etc", 0o777, b"")],
            "refusing to unpack `l`: it is a link to `/etc`, which is outside of the target",
        ),
        (
            &[("a/l", T::Symlink, "../../x", 0o777, b"")],
            "refusing to unpack `a/l`: it is a link to `../../x`, which is outside of the target",
        ),
        (
            &[("l", T::Symlink, "d", 0o777, b""), file("l/x")],
            "refusing to unpack `l`: `l/x` would be written through it",
        ),
        (&[file("f"), file("f/x")], "refusing to unpack `f`: `f/x` would be written through it"),
        (
            &[("h", T::Link, "/etc/shadow", 0o644, b"")],
            "refusing to unpack `h`: it is a hard link to `/etc/shadow`, which is not in the archive",
        ),
        (&[("dev", T::Block, "", 0o644, b"")], "refusing to unpack `dev`: it is a device"),
        (&[("fifo", T::Fifo, "", 0o644, b"")], "refusing to unpack `fifo`: it is a pipe"),
        (
            &[("su", T::Regular, "", 0o4755, b"x")],
            "refusing to unpack `su`: it would run as its owner or group whoever starts it (setuid or setgid)",
        ),
        (&[file("x"), ("x", T::Symlink, "y", 0o777, b"")], "`x` and `x` would both become `x`"),
        (&[file("a\nb")], "refusing to unpack `a\nb`: its path has a letter in it that no path should have"),
    ];
    for (members, wanted) in cases {
        assert_eq!(place().fault(&tar(members)), *wanted);
    }
}

#[test]
fn hostile_members_of_a_zip_are_refused_by_name() {
    assert!(place().fault(&zip(&[("../x", 0o644, b"x")])).contains("leads out of the target"));
    assert!(place().fault(&zip(&[("l", 0o120_777, b"/etc/passwd")])).contains("outside of the target"));
}

#[test]
fn what_is_not_wanted_can_be_as_hostile_as_it_likes() {
    let index = place().index(&tar(&[file("../x"), file("good")])).unwrap();
    let only = |name: &str| Choice { only: Some(vec![name.to_owned()]), strip: None }.of(&index);
    assert_eq!(only("good").unwrap().len(), 1);
    assert!(only("x").unwrap_err().message().contains("refusing to unpack `../x`"));
}

#[test]
fn an_archive_that_is_built_to_fill_disks_is_refused() {
    let mut zeros = zstd::Encoder::new(Vec::new(), 1).unwrap();
    let mut header = Header::new_gnu();
    let size = 400 << 20;
    header.set_path("big").unwrap();
    header.set_size(size);
    header.set_mode(0o644);
    header.set_cksum();
    zeros.write_all(header.as_bytes()).unwrap();
    std::io::copy(&mut std::io::repeat(0).take(size), &mut zeros).unwrap();
    assert!(place().fault(&zeros.finish().unwrap()).contains("it holds far more than an archive of its size does"));
}

#[test]
fn a_name_that_is_built_to_fill_memory_is_refused() {
    let mut header = Header::new_gnu();
    header.set_entry_type(EntryType::GNULongName);
    header.set_size(1 << 40);
    header.set_cksum();
    let mut bytes = header.as_bytes().to_vec();
    bytes.extend(vec![b'a'; 1 << 20]);
    assert!(place().fault(&bytes).contains("it has a name of more than 65536 bytes"));
}

#[test]
fn too_many_members_are_refused() {
    let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    let one = tar(&[("f", EntryType::Regular, "", 0o644, b"")]);
    for _ in 0..=formats::MOST_MEMBERS {
        gz.write_all(&one[..512]).unwrap();
    }
    assert!(place().fault(&gz.finish().unwrap()).contains("it has more than 200000 members"));
}

#[test]
fn what_is_no_archive_is_told_so() {
    let fault = place().fault(b"#!/bin/sh\n");
    assert!(fault.starts_with("cannot unpack `a.tar`: it is no archive that mk can read: "), "{fault}");
    let cut = &good()[..700];
    assert!(place().fault(cut).contains("damaged"), "{}", place().fault(cut));
}

proptest::proptest! {
    #[test]
    fn no_bytes_make_a_reader_panic(at in 0..3000_usize, with in proptest::prelude::any::<u8>(), format in 0..5_usize) {
        let tars = packed(&good());
        let mut bytes = tars.get(format).cloned().unwrap_or_else(|| zip(&[("a/b", 0o644, b"content")]));
        let at = at % bytes.len();
        bytes[at] = with;
        let place = place();
        if let Ok(index) = place.index(&bytes) {
            let _ = Choice::default().of(&index);
        }
    }
}
