//! Where scripts, files and templates are looked for: beside the script that names them, then in the
//! project, then in the standard library that is built into mk. Never above the project.
//!
//! What is found by its name on disk must be ours to obey, see [`Guard`]. A file that is named by its whole path and
//! only carried to a host is data: who names it has looked at whose it is. Scripts, templates and secrets are held to it
//! wherever they lie.

use std::path::{Component, Path, PathBuf};

use include_dir::{Dir, include_dir};

use super::input_tracking::{self, Input, InputTracker};
use crate::error::{Context, Error, Kind, Result, nearest};
use crate::trust::Guard;

/// The standard library as it was built in.
pub(crate) static STDLIB: Dir<'static> = include_dir!("$CARGO_MANIFEST_DIR/stdlib");

/// What names of built-in files begin with.
const BUILT_IN: &str = "stdlib:";

/// The script that names a source: a file on disk, or one of the built-in library.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Base {
    /// A script on disk.
    File(PathBuf),
    /// A script of the built-in library, by its path there.
    BuiltIn(PathBuf),
}

impl Base {
    /// The source name of the script.
    fn name(&self) -> String {
        match self {
            Self::File(path) => path.display().to_string(),
            Self::BuiltIn(path) => format!("{BUILT_IN}{}", path.display()),
        }
    }

    /// The base that a script's source name stands for.
    pub fn of(source: &str) -> Self {
        match source.strip_prefix(BUILT_IN) {
            Some(path) => Self::BuiltIn(path.into()),
            None => Self::File(source.into()),
        }
    }
}

/// Something found.
#[derive(Debug, Clone)]
pub enum Found {
    /// A file on disk.
    Disk(PathBuf),
    /// A file of the built-in library: its name for messages, and its bytes.
    BuiltIn(String, &'static [u8]),
}

impl Found {
    /// Its name for messages.
    pub fn name(&self) -> String {
        match self {
            Self::Disk(path) => path.display().to_string(),
            Self::BuiltIn(name, _) => name.clone(),
        }
    }

    /// Its text, as data; what is to be obeyed is read by [`Sources::code`].
    ///
    /// # Errors
    /// When it cannot be read or is not UTF-8.
    pub fn text(&self) -> Result<String> {
        let failed = || format!("cannot read `{}`", self.name());
        match self {
            Self::Disk(path) => std::fs::read_to_string(path).or_kind(Kind::Playbook, failed),
            Self::BuiltIn(_, bytes) => String::from_utf8(bytes.to_vec()).or_kind(Kind::Playbook, failed),
        }
    }
}

/// The places where things are looked for.
#[derive(Debug, Clone)]
pub struct Sources {
    project: PathBuf,
    /// Who wants to know what is found.
    pub inputs: InputTracker,
    /// Who tells what may be obeyed.
    pub guard: Guard,
}

impl Sources {
    /// The sources of the project in a folder.
    pub fn new(project: PathBuf) -> Self {
        Self { project, inputs: InputTracker::default(), guard: Guard::default() }
    }

    /// Has this one tell what may be obeyed.
    #[must_use]
    pub fn guarded_by(self, guard: Guard) -> Self {
        Self { guard, ..self }
    }

    /// The project's folder.
    pub fn project(&self) -> &Path {
        &self.project
    }

    /// The text of something that is obeyed: a script, a template, a secret.
    ///
    /// # Errors
    /// When others may have written it; when it cannot be read or is not UTF-8.
    pub fn code(&self, found: &Found) -> Result<String> {
        match found {
            Found::Disk(path) => self.guard.text(path).map_err(|e| e.as_kind(Kind::Playbook)),
            Found::BuiltIn(..) => found.text(),
        }
    }

    /// A file or template that a script names. For a script `x.rhai`: in the folder `x` beside it, then
    /// beside it, then in `files` and `templates` beside it; then in the project's folder, where a path is looked for
    /// that a module was given by a variable.
    ///
    /// # Errors
    /// When it is nowhere; names the places and the nearest name. When it was found, and others may have put it there.
    pub fn find(&self, base: &Base, src: &Path) -> Result<Found> {
        let found = self.locate(base, src).and_then(|found| match &found {
            Found::Disk(path) if src.is_relative() => {
                let looked = if path.is_dir() { self.guard.check_all(path) } else { self.guard.check(path) };
                looked.map(|()| found).map_err(|e| e.as_kind(Kind::Playbook))
            }
            _ => Ok(found),
        });
        let input = Input::Source { by: base.name(), name: src.to_owned() };
        self.inputs.note(input, || input_tracking::taken(found.as_ref().ok()));
        found
    }

    /// The digest that something read would be noted with now. An answer has none that any other equals.
    pub fn taken_now(&self, input: &Input) -> Option<String> {
        match input {
            Input::Source { by, name } => Some(input_tracking::taken(self.locate(&Base::of(by), name).ok().as_ref())),
            Input::Module { by, name } => Some(input_tracking::taken(self.look_up(&Base::of(by), name).ok().as_ref())),
            Input::File(path) => Some(input_tracking::of_path(path)),
            Input::Environment(name) => Some(input_tracking::of_environment(name)),
            Input::Answer(_) => None,
        }
    }

    /// A variable of the environment.
    pub fn environment(&self, name: &str) -> Option<String> {
        self.inputs.note(Input::Environment(name.to_owned()), || input_tracking::of_environment(name));
        std::env::var(name).ok()
    }

    fn locate(&self, base: &Base, src: &Path) -> Result<Found> {
        if src.is_absolute() {
            return if src.exists() { Ok(Found::Disk(src.to_owned())) } else { Err(missing(src, &[], None)) };
        }
        let leaves = src.components().any(|part| part == Component::ParentDir);
        let script = match base {
            Base::File(script) | Base::BuiltIn(script) => script,
        };
        let beside = script.parent().unwrap_or(Path::new("")).to_owned();
        let folders = [script.with_extension(""), beside.clone(), beside.join("files"), beside.join("templates")];
        for folder in &folders {
            let path = folder.join(src);
            match base {
                Base::File(_) if path.exists() => return Ok(Found::Disk(path)),
                Base::BuiltIn(_) if !leaves => {
                    let own = self.project.join("stdlib");
                    let overridden = own.join(&path);
                    // Beside a module of the project they are that module's files, whatever it is called.
                    if overridden.exists() && !own.join(script).exists() {
                        return Ok(Found::Disk(overridden));
                    }
                    if let Some(file) = STDLIB.get_file(&path) {
                        return Ok(Found::BuiltIn(format!("{BUILT_IN}{}", path.display()), file.contents()));
                    }
                }
                _ => {}
            }
        }
        let given = self.project.join(src);
        if given.exists() {
            return Ok(Found::Disk(given));
        }
        let mut places = folders.to_vec();
        if matches!(base, Base::BuiltIn(_)) {
            places = vec![PathBuf::from(base.name()).with_extension("")];
        }
        if !places.contains(&self.project) {
            places.push(self.project.clone());
        }
        let near = neighbour(&places, src);
        Err(missing(src, &places, near))
    }

    /// A module: the script's neighbour, else the project's own, else the one built in. What is built in imports only
    /// what is built in: a project's module of the same name is another one, and does other things.
    ///
    /// # Errors
    /// When there is none; offers the nearest.
    pub fn module(&self, base: &Base, name: &str) -> Result<Found> {
        let found = self.look_up(base, name);
        let input = Input::Module { by: base.name(), name: name.to_owned() };
        self.inputs.note(input, || input_tracking::taken(found.as_ref().ok()));
        found
    }

    fn look_up(&self, base: &Base, name: &str) -> Result<Found> {
        let file = PathBuf::from(format!("{name}.rhai"));
        let plain =
            |path: &Path| path.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
        if !plain(&file) {
            return Err(Error::playbook(format!("a module cannot be imported from `{name}`"))
                .hint("import it by its name: `import \"etcd\" as etcd;`"));
        }
        if let Base::File(script) = base {
            let beside = script.parent().map(|dir| dir.join(&file));
            for path in beside.into_iter().chain([self.project.join("stdlib").join(&file)]) {
                if path.is_file() {
                    return Ok(Found::Disk(path));
                }
            }
        }
        if let Some(found) = STDLIB.get_file(&file) {
            return Ok(Found::BuiltIn(format!("{BUILT_IN}{}", file.display()), found.contents()));
        }
        let known: Vec<String> =
            STDLIB.files().filter_map(|f| Some(f.path().file_stem()?.to_string_lossy().into_owned())).collect();
        let error = Error::playbook(format!("there is no module `{name}`"));
        let otherwise = "modules are looked for beside the script, in `stdlib/` of the project, and in mk itself";
        Err(error.suggest_or(name, known.iter().map(String::as_str), otherwise))
    }
}

fn missing(src: &Path, folders: &[PathBuf], near: Option<String>) -> Error {
    let mut error = Error::playbook(format!("there is no file `{}`", src.display()));
    if let Some(near) = near {
        error = error.hint(format!("did you mean `{near}`?"));
    }
    let places: Vec<String> = folders.iter().map(|folder| format!("`{}`", folder.display())).collect();
    if places.is_empty() { error } else { error.hint(format!("looked for in {}", places.join(", "))) }
}

fn neighbour(folders: &[PathBuf], src: &Path) -> Option<String> {
    let names: Vec<String> = folders
        .iter()
        .filter_map(|folder| std::fs::read_dir(folder).ok())
        .flat_map(|entries| entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()))
        .collect();
    nearest(&src.to_string_lossy(), names.iter().map(String::as_str)).map(str::to_owned)
}
