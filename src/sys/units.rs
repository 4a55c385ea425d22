//! Where systemd looks for the files of units.

/// Where unit files are looked for.
const DIRS: [&str; 5] = [
    "/etc/systemd/system",
    "/run/systemd/system",
    "/usr/local/lib/systemd/system",
    "/usr/lib/systemd/system",
    "/lib/systemd/system",
];

/// Every path that can define a unit.
pub(crate) fn unit_files(name: &str) -> impl Iterator<Item = String> {
    let template = name.split_once('@').and_then(|(stem, rest)| Some(format!("{stem}@.{}", rest.rsplit_once('.')?.1)));
    let names: Vec<String> = [Some(name.to_owned()), template].into_iter().flatten().collect();
    DIRS.into_iter().flat_map(move |dir| names.clone().into_iter().map(move |name| format!("{dir}/{name}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instances_are_defined_by_their_template_too() {
        let paths: Vec<String> = unit_files("getty@tty1.service").take(2).collect();
        assert_eq!(paths, ["/etc/systemd/system/getty@tty1.service", "/etc/systemd/system/getty@.service"]);
        assert_eq!(unit_files("demo.timer").count(), DIRS.len());
    }
}
