//! A machine for one test, for operations that change the whole of it. Only in tests.
//!
//! It is this machine with mounts and a name of its own: the test is started again there, by `unshare`, which needs no
//! root where users may have namespaces. What of the machine is the test's is listed in [`PLACES`].

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::mount::mount_bind;

/// Names the test's own folder to the test that was started again.
const FOLDER: &str = "MK_TEST_ALONE";

/// What is the test's own. `/etc` begins as a copy, all else empty.
const PLACES: [(&str, &str); 5] =
    [("etc", "/etc"), ("run", "/run"), ("home", "/home"), ("modules", "/sys/module"), ("apt", "/var/lib/apt")];

/// Runs the body of a test on a machine of its own, where these programs, as scripts of the shell, stand before all
/// others. They find the test's folder in `$MK_TEST_ALONE`, and `unexpected` refuses what they were not told to expect.
///
/// # Panics
/// When the test fails there, or no such machine can be made.
pub fn alone<F: FnOnce(&Path)>(programs: &[(&str, &str)], body: F) {
    if let Some(folder) = std::env::var_os(FOLDER).map(PathBuf::from) {
        for (name, place) in PLACES {
            if Path::new(place).exists() {
                mount_bind(folder.join(name), place).unwrap();
            }
        }
        return body(&folder);
    }
    let folder = tempfile::tempdir().unwrap();
    prepare(folder.path(), programs);
    // The closure is named by the test that it stands in.
    let test = std::any::type_name::<F>().trim_end_matches("::{{closure}}");
    let test = test.split_once("::").map_or(test, |(_, path)| path);
    let path = format!("{}:{}", folder.path().join("bin").display(), std::env::var("PATH").unwrap_or_default());
    let mut command = Command::new("unshare");
    command.args(["--mount", "--uts", "--propagation", "private"]);
    if !rustix::process::geteuid().is_root() {
        command.arg("--map-root-user");
    }
    command.arg("--").arg(std::env::current_exe().unwrap()).args([test, "--exact", "--nocapture"]);
    let ran = command.env(FOLDER, folder.path()).env("PATH", path).output();
    let ran = ran.expect("`unshare` of the package `util-linux`");
    let said = [ran.stdout, ran.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    // A test of another name would be none, and fail nowhere.
    assert!(ran.status.success() && said.contains("1 passed"), "{test}, alone ({}):\n{said}", ran.status);
}

fn prepare(folder: &Path, programs: &[(&str, &str)]) {
    for (name, _) in PLACES {
        fs::create_dir(folder.join(name)).unwrap();
    }
    // What only root may read is not there for others, and none of it is needed.
    let copied = Command::new("cp").args(["-a", "/etc/."]).arg(folder.join("etc")).output();
    drop(copied.expect("`cp` of the package `coreutils`"));
    let accounts = "root:x:0:0:root:/home/root:/bin/sh\n";
    for (name, text) in [
        ("passwd", accounts),
        ("group", "root:x:0:\n"),
        ("shadow", "root:*:19000:0:99999:7:::\n"),
        ("gshadow", "root:*::\n"),
        ("nsswitch.conf", "passwd: files\ngroup: files\nshadow: files\n"),
        ("hostname", "mk-before\n"),
    ] {
        let path = folder.join("etc").join(name);
        // It may be a link, and not to be written through.
        let _ = fs::remove_file(&path);
        fs::write(&path, text).unwrap();
    }
    fs::create_dir(folder.join("home/root")).unwrap();
    fs::create_dir(folder.join("bin")).unwrap();
    let unexpected = "unexpected() { echo \"not expected: $0 $*\" >&2; exit 64; }\n";
    for (name, text) in programs {
        let path = folder.join("bin").join(name);
        fs::write(&path, format!("#!/bin/sh\n{unexpected}cd \"$MK_TEST_ALONE\" || exit 64\n{text}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }
}
