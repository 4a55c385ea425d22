//! Builds the agents' executables into mk, when a folder with them is named. Never builds them itself.

use std::fmt::Write as _;
use std::path::Path;

fn main() {
    println!("cargo::rerun-if-env-changed=MK_EMBED_AGENTS");
    let mut list = String::from("&[");
    if let Some(folder) = std::env::var_os("MK_EMBED_AGENTS") {
        let entries = std::fs::read_dir(&folder).expect("MK_EMBED_AGENTS must be a folder of agents");
        let mut files: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
        files.sort();
        for file in files {
            let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if let Some(arch) = name.strip_prefix("mk-agent-") {
                println!("cargo::rerun-if-changed={}", file.display());
                write!(list, "({arch:?}, include_bytes!({:?}) as &[u8]),", file.display().to_string())
                    .expect("a string");
            }
        }
    }
    list.push(']');
    let out = std::env::var_os("OUT_DIR").expect("cargo sets OUT_DIR");
    std::fs::write(Path::new(&out).join("agents.rs"), list).expect("OUT_DIR can be written to");
}
