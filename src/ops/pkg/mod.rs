//! `pkg`: packages of the distribution.

mod apt;
mod wanted;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use self::wanted::{Wanted, fits};
use crate::change::{Change, Thing, digest, map_of};
use crate::error::{Error, Result};
use crate::op::{Danger, Effects, Example, HumanDuration, Operation, Removal, Resource, Shows};
use crate::sys::{Effect, Hands, Probe};

/// Installs, upgrades or removes packages, with what the host has for that: apt, for now.
///
/// Nothing is asked: settings files changed by hand are kept, and what a package wants to know gets its
/// default. An interrupted installation is finished first. Packages are never cut in half: once begun, the
/// work goes on even when the connection is lost. The outcome has `versions`, by name.
///
/// A name means the package that is called so, and nothing else: it is no pattern, and a `-` or `+` at its end is part of
/// it. The lists of packages count as fetched only when all of them were. `"latest"` is the version that apt would choose,
/// with its pins; a package that no source has is the latest of its kind, and one that is held is a fault when it is not.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "control", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(super) struct Pkg {
    /// One name or a list of them. `"name=1.2*"` asks for a version; `*` stands for anything.
    pub names: Names,
    /// `"present"`, `"latest"` or `"absent"`.
    #[serde(default)]
    pub state: PkgState,
    /// Fetch the lists of packages first when they are older than this and something is to be installed.
    /// One day by default. `"latest"` fetches them whenever they are older.
    #[serde(default = "one_day")]
    pub update: HumanDuration,
    /// Also install what the packages recommend.
    #[serde(default)]
    pub recommends: bool,
    /// Remove the packages' settings files with them.
    #[serde(default)]
    pub purge: bool,
    /// How long to wait for another program that holds the package database. Two minutes by default.
    #[serde(default = "two_minutes")]
    pub lock_timeout: HumanDuration,
}

/// One name or several.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "control", derive(schemars::JsonSchema))]
#[serde(untagged, expecting = "a package's name or a list of names")]
pub(super) enum Names {
    /// One.
    One(String),
    /// Several.
    Many(Vec<String>),
}

/// How packages are to be.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "control", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub(super) enum PkgState {
    /// Installed, in whatever version.
    #[default]
    Present,
    /// Installed, in the newest version that the host can get.
    Latest,
    /// Not installed.
    Absent,
}

/// The age of the package lists when nothing is said.
fn one_day() -> HumanDuration {
    HumanDuration::secs(86_400)
}

/// The patience with others when nothing is said.
fn two_minutes() -> HumanDuration {
    HumanDuration::secs(120)
}

/// How each package is or should be, in a word: `installed`, `absent`, or a version where one is asked for.
///
/// When the newest version is wanted, the age of the lists is part of the state: old lists do not know it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Packages {
    #[serde(flatten)]
    words: BTreeMap<String, String>,
    /// The versions found; what they are to be is mostly left to the host, so they are not compared.
    #[serde(skip)]
    versions: BTreeMap<String, String>,
}

/// A package as the host has it.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Found {
    /// Not there.
    Absent,
    /// Removed, but its settings files are still there.
    Leftovers,
    /// There, in this version.
    Installed(String),
    /// Begun and not finished.
    Broken,
    /// Not itself, but another package stands in for it.
    Provided,
}

/// What hosts have to install packages with. Another one is another file and a line in each `match`.
#[derive(Debug, Clone, Copy)]
enum Provider {
    Apt,
}

/// What a provider has to know of a wish.
#[derive(Debug)]
struct Job<'a> {
    wanted: Vec<Wanted>,
    wish: &'a Pkg,
}

impl Provider {
    fn of(probe: &Probe) -> Result<Self> {
        match probe.program("apt-get") {
            Some(_) => Ok(Self::Apt),
            None => {
                Err(Error::step("no program to install packages with is known on this host").hint("mk knows `apt-get`"))
            }
        }
    }

    fn found(self, probe: &Probe, wanted: &[Wanted]) -> Result<BTreeMap<String, Found>> {
        match self {
            Self::Apt => apt::found(probe, wanted),
        }
    }

    /// The newest versions that the host can get, by name.
    fn newest(self, probe: &Probe, wanted: &[Wanted]) -> Result<BTreeMap<String, String>> {
        match self {
            Self::Apt => apt::newest(probe, wanted),
        }
    }

    fn lists_are_old(self, probe: &Probe, job: &Job) -> bool {
        match self {
            Self::Apt => apt::lists_are_old(probe, job.wish.update.0),
        }
    }

    /// Whether settings files of a package stay when it is removed.
    fn leaves(self, probe: &Probe, name: &str) -> Result<bool> {
        match self {
            Self::Apt => apt::leaves(probe, name),
        }
    }

    /// Whether installing or removing can work, without doing it.
    fn rehearse(self, probe: &Probe, job: &Job) -> Result {
        match self {
            Self::Apt => apt::rehearse(probe, job),
        }
    }

    fn install(self, hands: &Hands, job: &Job) -> Result {
        match self {
            Self::Apt => apt::install(hands, job),
        }
    }

    fn remove(self, hands: &Hands, job: &Job) -> Result {
        match self {
            Self::Apt => apt::remove(hands, job),
        }
    }
}

/// What the age of the lists is called among the packages; no package can be called so.
const LISTS: &str = "package lists";

/// The word for a package that is gone but for its settings files, where those are to go too.
const LEFTOVERS: &str = "its settings files";

/// A package that is there, and how it is taken away again.
fn installed(name: &str) -> Thing {
    Thing::new(Pkg::NAME, name, json!({ "names": name, "state": "absent", "purge": true }))
}

impl Pkg {
    fn names(&self) -> &[String] {
        match &self.names {
            Names::One(name) => std::slice::from_ref(name),
            Names::Many(names) => names,
        }
    }

    fn wanted(&self) -> Result<Vec<Wanted>> {
        let parse = |text: &String| {
            Wanted::parse(text).ok_or_else(|| Error::playbook(format!("`{text}` cannot be the name of a package")))
        };
        self.names().iter().map(parse).collect()
    }

    /// The word for a package that is as wished.
    fn word(&self, wanted: &Wanted) -> String {
        match (self.state, &wanted.version) {
            (PkgState::Absent, _) => "absent".to_owned(),
            (PkgState::Latest, _) => "latest".to_owned(),
            (PkgState::Present, None) => "installed".to_owned(),
            (PkgState::Present, Some(version)) => version.clone(),
        }
    }

    /// The word for a package as it was found.
    fn found(&self, wanted: &Wanted, found: &Found, newest: Option<&String>) -> String {
        let absent = self.state == PkgState::Absent;
        match (found, &wanted.version) {
            (Found::Leftovers, _) if absent && self.purge => LEFTOVERS.to_owned(),
            (Found::Absent | Found::Leftovers, _) => "absent".to_owned(),
            // What stands in for it is not it when it is to be gone.
            (Found::Provided, _) if absent => "absent".to_owned(),
            (Found::Provided, _) => self.word(wanted),
            (Found::Broken, _) => "not completely installed".to_owned(),
            (Found::Installed(_), _) if absent => "installed".to_owned(),
            (Found::Installed(version), _) if self.state == PkgState::Latest => {
                // Without an answer it is not known to be.
                if newest == Some(version) { "latest".to_owned() } else { version.clone() }
            }
            (Found::Installed(version), Some(pattern)) => {
                if fits(version, pattern) {
                    pattern.clone()
                } else {
                    version.clone()
                }
            }
            (Found::Installed(_), None) => "installed".to_owned(),
        }
    }

    /// The word for a package that an earlier step of this check removes, and that was found like this before it.
    fn left(&self, probe: &Probe, provider: Provider, name: &str, found: &Found) -> Result<String> {
        let all = !self.purge || self.state != PkgState::Absent || probe.is_purged(name);
        let left = match found {
            _ if all => false,
            Found::Installed(_) | Found::Broken => provider.leaves(probe, name)?,
            Found::Leftovers => true,
            Found::Absent | Found::Provided => {
                return Err(Error::unknown(format!("what package `{name}` leaves behind is not known yet")));
            }
        };
        Ok(if left { LEFTOVERS } else { "absent" }.to_owned())
    }

    /// The packages that are not as wished.
    fn job(&self, differs: impl Fn(&str) -> bool) -> Result<Job<'_>> {
        let wanted = self.wanted()?.into_iter().filter(|wanted| differs(&wanted.name)).collect();
        Ok(Job { wanted, wish: self })
    }
}

impl Operation for Pkg {
    const NAME: &'static str = "pkg";
    const SUBJECT: &'static str = "names";
    const VALUES: &'static [&'static str] = &["versions"];
    const DANGER: Danger = Danger::Destroy;
    const SHOWS: Shows = Shows::All;
    const UNCUT: bool = true;
    const REMOVAL: Removal = Removal::Absent;
    const PLACES: &'static [&'static str] = &["/etc/apt", "/var/lib/apt", "/usr/share/keyrings"];
    const EXAMPLES: &'static [Example] = &[
        Example { title: "Some packages.", code: r#"host.pkg(["socat", "conntrack", "ipset"]);"# },
        Example { title: "A version, whatever its revision.", code: r#"host.pkg("tree=2.*", #{ update: "1h" });"# },
        Example { title: "Gone, with its settings.", code: r#"host.pkg("tree", #{ state: "absent", purge: true });"# },
    ];

    fn validate(&self) -> Result {
        if self.names().is_empty() {
            return Err(Error::parameter("names", "is empty"));
        }
        let versioned = self.wanted()?.into_iter().find(|wanted| wanted.version.is_some());
        match versioned {
            Some(wanted) if self.state != PkgState::Present => Err(Error::playbook(format!(
                "a version of `{}` can only be asked for with `state: \"present\"`",
                wanted.name
            ))),
            _ => Ok(()),
        }
    }
}

impl Resource for Pkg {
    type State = Packages;

    fn actual(&self, probe: &Probe) -> Result<Option<Packages>> {
        let provider = Provider::of(probe)?;
        let wanted = self.wanted()?;
        let found = provider.found(probe, &wanted)?;
        let newest = if self.state == PkgState::Latest { provider.newest(probe, &wanted)? } else { BTreeMap::new() };
        let word = |wanted: &Wanted| {
            let found = found.get(&wanted.name).unwrap_or(&Found::Absent);
            let planned = match probe.planned_package(&wanted.name) {
                Some(true) => {
                    Some(self.word(wanted)).filter(|_| self.state != PkgState::Absent).or(Some("installed".into()))
                }
                Some(false) => Some(self.left(probe, provider, &wanted.name, found)?),
                None => None,
            };
            Ok(planned.unwrap_or_else(|| self.found(wanted, found, newest.get(&wanted.name))))
        };
        let mut words = BTreeMap::new();
        for wanted in &wanted {
            words.insert(wanted.name.clone(), word(wanted)?);
        }
        let job = self.job(|name| wanted.iter().any(|w| w.name == name && words.get(name) != Some(&self.word(w))))?;
        if self.state == PkgState::Latest {
            let age = if provider.lists_are_old(probe, &job) { "old" } else { "fresh" };
            words.insert(LISTS.to_owned(), age.to_owned());
        }
        if probe.is_check() {
            let mut job = job;
            // apt does not know how to remove what is only planned.
            job.wanted.retain(|wanted| self.state != PkgState::Absent || found.contains_key(&wanted.name));
            if !job.wanted.is_empty() {
                provider.rehearse(probe, &job)?;
            }
        }
        let version = |(name, found): (String, Found)| match found {
            Found::Installed(version) => Some((name, version)),
            _ => None,
        };
        let versions = map_of(found.into_iter().filter_map(version));
        Ok(Some(Packages { words, versions }))
    }

    fn desired(&self, _actual: Option<&Packages>) -> Result<Option<Packages>> {
        let mut words = map_of(self.wanted()?.iter().map(|wanted| (wanted.name.clone(), self.word(wanted))));
        if self.state == PkgState::Latest {
            words.insert(LISTS.to_owned(), "fresh".to_owned());
        }
        Ok(Some(Packages { words, versions: BTreeMap::new() }))
    }

    fn fix(&self, hands: &Hands, change: &Change<Packages>) -> Result {
        let provider = Provider::of(hands)?;
        // With fresh lists any of them may turn out not to be the newest.
        let all = self.state == PkgState::Latest && change.has(LISTS);
        let job = self.job(|name| all || change.has(name))?;
        if self.state == PkgState::Absent { provider.remove(hands, &job) } else { provider.install(hands, &job) }
    }

    fn things(&self, state: Option<&Packages>) -> Vec<Thing> {
        let words = state.iter().flat_map(|packages| &packages.words);
        let there = words.filter(|(name, word)| *name != LISTS && !matches!(word.as_str(), "absent" | LEFTOVERS));
        there.map(|(name, _)| installed(name)).collect()
    }

    fn effects(&self, desired: Option<&Packages>) -> Effects {
        let names =
            desired.iter().flat_map(|packages| packages.words.keys()).filter(|name| *name != LISTS).cloned().collect();
        vec![match self.state {
            PkgState::Absent => Effect::PackagesGone(names, self.purge),
            PkgState::Present | PkgState::Latest => Effect::Packages(names),
        }]
    }

    fn is_recalled(&self) -> bool {
        // The age of the lists is known from nothing else.
        self.state == PkgState::Latest
    }

    fn digest(&self, actual: Option<&Packages>) -> Option<String> {
        // Another version is another program, though nothing about the wish has changed.
        let versions = &actual?.versions;
        (!versions.is_empty()).then(|| digest(format!("{versions:?}").as_bytes()))
    }

    fn values(&self, actual: Option<&Packages>) -> Map<String, Value> {
        let versions =
            actual.map(|packages| packages.versions.iter().map(|(name, v)| (name.clone(), v.clone().into())));
        Map::from_iter([("versions".to_owned(), versions.into_iter().flatten().collect::<Map<_, _>>().into())])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::op::alone::alone;
    use crate::op::contract::{Host, refusal};

    /// The database of packages is a folder: a file a package, with its version in it.
    const QUERY: &str = r#"[ "$1" = --show ] || unexpected "$@"
format=$2; shift 2
case $format in
  *'Package}\t${Architecture}\t${db:Status-Abbrev}\t${Version}'*)
    for name; do [ ! -e "packages/$name" ] || printf '%s\tall\tii \t%s\n' "$name" "$(cat "packages/$name")"; done ;;
  *Provides*) ;;
  *'binary:Package}'*) for file in packages/*; do printf 'ii \t%s\n' "${file#*/}"; done ;;
  *) unexpected "$format" "$@" ;;
esac"#;

    const GET: &str = r#"words=
while [ $# -gt 0 ]; do
  case $1 in
    -o) shift ;;
    -q|-y|--no-install-recommends|--allow-downgrades) ;;
    --simulate) simulated=yes ;;
    *) words="$words $1" ;;
  esac
  shift
done
set -- $words
verb=$1; shift
case $verb in
  install) for name; do case $name in
    mk-demo|mk-demo=*) [ "$simulated" ] || echo "${name#mk-demo=}" | sed s/mk-demo/2.1-3/ >packages/mk-demo ;;
    *) unexpected "$verb" "$@" ;;
  esac; done ;;
  remove) [ "$simulated" ] || for name; do rm "packages/$name" || exit; done ;;
  *) unexpected "$verb" "$@" ;;
esac"#;

    /// A source that cannot be reached, names that apt would take for more, and what is newest.
    const ODD: &str = r#"case "$*" in
  *" APT::Update::Error-Mode=any "*update)
    echo "Err:1 http://mirror bookworm InRelease"; echo "W: Some index files failed to download." >&2
    exit "$(cat status)" ;;
  *"--simulate "*" install "*) echo "The following packages have unmet dependencies:"; echo " mk-demo : Depends: mk-no (>= 2)"
    echo "E: Unable to correct problems, you have held broken packages." >&2; exit 100 ;;
  *) unexpected "$@" ;;
esac"#;

    const CACHE: &str = r#"case "$*" in
  "-o APT::Cache::AllNames=true pkgnames lib3.1") echo lib3.10 ;;
  "-o APT::Cache::AllNames=true pkgnames mk-") echo mk-demo ;;
  "-o APT::Cache::AllNames=true pkgnames mk++") echo mk++; echo mk++-doc ;;
  "policy mk-demo:amd64") printf 'mk-demo:\n  Installed: 1\n  Candidate: 2\n' ;;
  *) unexpected "$@" ;;
esac"#;

    fn with_lists(folder: &std::path::Path) {
        std::fs::create_dir(folder.join("packages")).unwrap();
        std::fs::create_dir_all("/var/lib/apt/lists").unwrap();
        std::fs::write("/var/lib/apt/lists/mirror_Packages", "").unwrap();
    }

    #[test]
    fn lists_that_were_not_all_fetched_are_not_fresh_whatever_apt_exits_with() {
        alone(&[("dpkg-query", QUERY), ("apt-get", ODD)], |folder| {
            std::fs::create_dir(folder.join("packages")).unwrap();
            let host = Host::new();
            for status in ["100", "0"] {
                std::fs::write(folder.join("status"), status).unwrap();
                let error = host.try_apply("pkg", json!({ "names": "mk-demo" })).unwrap_err();
                assert!(error.message().starts_with("the lists of packages could not all be fetched"), "{error}");
                assert!(error.notes().iter().any(|note| note.contains("Err:1 http://mirror")), "{error:?}");
            }
        });
    }

    #[test]
    fn a_name_is_neither_a_pattern_nor_a_request_to_remove() {
        alone(&[("dpkg-query", QUERY), ("apt-get", ODD), ("apt-cache", CACHE)], |folder| {
            with_lists(folder);
            for name in ["lib3.1", "mk-"] {
                let error = Host::new().try_check("pkg", json!({ "names": name })).unwrap_err();
                assert_eq!(error.message(), format!("no package `{name}` is in the host's package lists"));
            }
            // It is there by that very name, so apt is asked.
            let error = Host::new().try_check("pkg", json!({ "names": "mk++" })).unwrap_err();
            assert!(error.message().contains("exited with status 100"), "{error}");
        });
    }

    #[test]
    fn a_fault_tells_what_apt_says_on_both_streams() {
        alone(&[("dpkg-query", QUERY), ("apt-get", ODD)], |folder| {
            with_lists(folder);
            let error = Host::new().try_check("pkg", json!({ "names": "mk-demo" })).unwrap_err();
            let notes = error.notes().join("\n");
            assert!(notes.contains("Depends: mk-no (>= 2)") && notes.contains("held broken packages"), "{notes}");
        });
    }

    #[test]
    fn a_name_with_its_architecture_is_not_the_latest_because_apt_leaves_that_out() {
        let query =
            QUERY.replace("\\tall\\tii", "\\tamd64\\tii").replace("for name; do", "for name; do name=${name%:amd64};");
        let get = GET.replace("mk-demo|", "mk-demo:amd64) echo 2 >packages/mk-demo ;;\n    mk-demo|");
        let policy = CACHE.replace("Installed: 1", "Installed: '\"$(cat packages/mk-demo)\"'");
        alone(&[("dpkg-query", &query), ("apt-get", &get), ("apt-cache", &policy)], |folder| {
            with_lists(folder);
            std::fs::write(folder.join("packages/mk-demo"), "1").unwrap();
            let outcome = Host::new().apply("pkg", json!({ "names": "mk-demo:amd64", "state": "latest" }));
            assert!(outcome.status.changed());
            assert_eq!(outcome.values["versions"], json!({ "mk-demo:amd64": "2" }));
        });
    }

    #[test]
    fn installing_another_version_and_removing_hold_the_contract() {
        alone(&[("dpkg-query", QUERY), ("apt-get", GET)], |folder| {
            std::fs::create_dir(folder.join("packages")).unwrap();
            std::fs::write(folder.join("packages/base-files"), "12").unwrap();
            std::fs::create_dir_all("/var/lib/apt/lists").unwrap();
            std::fs::write("/var/lib/apt/lists/mirror_Packages", "").unwrap();
            let wish = |names: &str, state: &str| json!({ "names": names, "state": state });
            let wishes = [wish("mk-demo", "present"), wish("mk-demo=2.0-1", "present"), wish("mk-demo", "absent")];
            Host::new().contract("pkg", &wishes);
        });
    }

    fn pkg(args: Value) -> Pkg {
        serde_json::from_value(args).unwrap()
    }

    #[test]
    fn what_was_found_is_put_in_the_words_of_the_wish() {
        let installed = Found::Installed("2.1-3".into());
        let word = |args: Value, found: &Found, newest: Option<&str>| {
            let pkg = pkg(args);
            pkg.found(&pkg.wanted().unwrap()[0], found, newest.map(str::to_owned).as_ref())
        };
        assert_eq!(word(json!({ "names": "a" }), &installed, None), "installed");
        assert_eq!(word(json!({ "names": "a=2.*" }), &installed, None), "2.*");
        assert_eq!(word(json!({ "names": "a=3.*" }), &installed, None), "2.1-3");
        assert_eq!(word(json!({ "names": "a", "state": "latest" }), &installed, Some("2.2-1")), "2.1-3");
        assert_eq!(word(json!({ "names": "a", "state": "latest" }), &installed, Some("2.1-3")), "latest");
        assert_eq!(word(json!({ "names": "a", "state": "latest" }), &installed, None), "2.1-3");
        assert_eq!(word(json!({ "names": "a", "state": "absent" }), &Found::Leftovers, None), "absent");
        assert_eq!(
            word(json!({ "names": "a", "state": "absent", "purge": true }), &Found::Leftovers, None),
            "its settings files"
        );
        assert_eq!(word(json!({ "names": "awk" }), &Found::Provided, None), "installed");
        assert_eq!(word(json!({ "names": "awk", "state": "absent" }), &Found::Provided, None), "absent");
        assert_eq!(word(json!({ "names": "a" }), &Found::Broken, None), "not completely installed");
    }

    #[test]
    fn wishes_that_make_no_sense_are_refused() {
        assert_eq!(refusal("pkg", json!({ "names": [] })), "pkg: `names` is empty");
        assert_eq!(refusal("pkg", json!({ "names": "--fix" })), "pkg: `--fix` cannot be the name of a package");
        assert!(refusal("pkg", json!({ "names": "a=1", "state": "latest" })).contains("a version of `a`"));
    }
}
