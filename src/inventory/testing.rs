//! Inventories in temporary folders, for the tests of this module.

use std::fs;
use std::path::Path;

use crate::error::{Error, Result};
use crate::trust::Guard;

use super::{Extras, Inventory};

/// Loads an inventory of the files given, each with its path in the folder.
pub(super) fn load_files(files: &[(&str, &[u8])], extras: &Extras) -> Result<Inventory> {
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
    // As a user in the folder above would name them, so that places can be compared.
    Inventory::load(folder.path(), extras, &Guard::default()).map_err(|e| relative(e, folder.path()))
}

/// Loads an inventory of one file.
pub(super) fn load(text: &str) -> Result<Inventory> {
    load_files(&[("inventory.yml", text.as_bytes())], &Extras::default())
}

/// The fault without the folder in its texts and its place.
fn relative(error: Error, folder: &Path) -> Error {
    let prefix = format!("{}/", folder.display());
    let mut place = error.place().cloned();
    let plain = error.map_text(|text| text.replace(&prefix, "").replace(prefix.trim_end_matches('/'), "."));
    let mut fresh = Error::new(plain.kind(), plain.message());
    for cause in plain.causes() {
        fresh = fresh.because(cause);
    }
    for hint in plain.hints() {
        fresh = fresh.hint(hint);
    }
    if let Some(place) = &mut place {
        place.file = place.file.replace(&prefix, "");
        fresh = fresh.at(place.clone());
    }
    fresh
}

/// A fault as one line: place, message, hints.
pub(super) fn line(error: &Error) -> String {
    let place = error.place().map(|place| format!("{place}: ")).unwrap_or_default();
    let hints: Vec<String> = error.hints().iter().map(|hint| format!(" ({hint})")).collect();
    format!("{place}{error}{}", hints.concat())
}

/// What is wrong with an inventory of one file.
pub(super) fn complaint(text: &str) -> String {
    line(&load(text).unwrap_err())
}

/// The names of the hosts that a pattern means.
pub(super) fn names<'a>(inventory: &'a Inventory, pattern: &str) -> Vec<&'a str> {
    inventory.select(pattern).unwrap().into_iter().map(|host| host.name.as_str()).collect()
}
