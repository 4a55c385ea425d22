//! Builds the agents' executables into mk, when a folder with them is named. Never builds them itself.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

fn main() {
    println!("cargo::rerun-if-env-changed=MK_EMBED_AGENTS");
    println!("cargo::rustc-env=MK_AGENT_BUILD={:016x}", agent_sources());
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

/// What the agent is made from, beside crates of others: its own file, and the modules of the library that do not belong
/// to the control side only.
fn agent_parts() -> Vec<PathBuf> {
    let library = "src/lib.rs";
    println!("cargo::rerun-if-changed={library}");
    let text = std::fs::read_to_string(library).expect("the library can be read");
    let code = text.lines().filter(|line| !line.starts_with("//") && !line.is_empty());
    let mut parts = vec![PathBuf::from("src/bin/mk-agent.rs")];
    let mut control = false;
    for line in code {
        if let Some(name) = line.split_once("mod ").and_then(|(_, rest)| rest.strip_suffix(';')) {
            let both = [format!("src/{name}.rs"), format!("src/{name}")].map(PathBuf::from);
            parts.extend(both.into_iter().filter(|path| !control && path.exists()));
            control = false;
        } else {
            control = line == "#[cfg(feature = \"control\")]";
        }
    }
    assert!(parts.len() > 2, "{library} says which modules there are");
    parts
}

/// A digest of the agent's sources: mk and an agent that were built from others do not know the same operations.
fn agent_sources() -> u64 {
    let mut files = Vec::new();
    for path in agent_parts() {
        println!("cargo::rerun-if-changed={}", path.display());
        collect(&path, &mut files);
    }
    files.sort();
    // FNV-1a: it need not withstand anybody, only tell two trees apart.
    files.iter().fold(0xcbf2_9ce4_8422_2325, |hash, file| {
        let text = std::fs::read(file).expect("a source file can be read");
        let name = file.to_string_lossy().into_owned().into_bytes();
        name.iter().chain(&text).fold(hash, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
    })
}

fn collect(path: &Path, files: &mut Vec<PathBuf>) {
    match std::fs::read_dir(path) {
        Ok(entries) => entries.flatten().for_each(|entry| collect(&entry.path(), files)),
        Err(_) => files.push(path.to_owned()),
    }
}
