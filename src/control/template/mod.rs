//! Templates: minijinja, with undefined names an error and every error at its place.

mod secret;
mod words;

use std::path::PathBuf;

use minijinja::{AutoEscape, Environment, ErrorKind, UndefinedBehavior, syntax::SyntaxConfig};
use serde_json::{Map, Value};

use self::words::{Word, words};
use super::texts::Texts;
use crate::error::{Error, Kind, Place, Result, nearest};
use crate::secret::Secrets;
use crate::state::StateDir;

/// Renders templates. A value is never itself read as a template.
pub struct Templates {
    environment: Environment<'static>,
}

impl Default for Templates {
    fn default() -> Self {
        Self::new()
    }
}

impl Templates {
    /// A renderer of a run that has no secrets.
    pub fn new() -> Self {
        Self::with(&Texts::new(Secrets::default(), StateDir::at(PathBuf::new())))
    }

    /// A renderer with mk's rules and filters.
    pub(super) fn with(texts: &Texts) -> Self {
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        environment.set_auto_escape_callback(|_| AutoEscape::None);
        // Blocks leave no empty lines, and a file keeps the newline at its end.
        let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).keep_trailing_newline(true).build();
        if let Ok(syntax) = syntax {
            environment.set_syntax(syntax);
        }
        secret::prepare(&mut environment, texts);
        Self { environment }
    }

    /// Renders a text with these names.
    ///
    /// # Errors
    /// A syntax error or an undefined name, at its line and column in the template.
    pub fn render(&self, file: &str, text: &str, names: &Map<String, Value>) -> Result<String> {
        let template =
            self.environment.template_from_named_str(file, text).map_err(|e| fault(&e, file, text, names))?;
        let names_of = secret::Names::of(names);
        names_of.are_not_compared(file, text)?;
        let rendered = template.render(names_of.context(names));
        // What was looked into decided something, also where that ended in another error.
        names_of.are_untouched(file)?;
        rendered.map_err(|e| fault(&e, file, text, names))
    }

    /// The names that a template uses and does not define itself.
    ///
    /// # Errors
    /// A syntax error, at its place.
    pub fn names(&self, file: &str, text: &str) -> Result<Vec<String>> {
        let template =
            self.environment.template_from_named_str(file, text).map_err(|e| fault(&e, file, text, &Map::new()))?;
        let mut names: Vec<String> = template.undeclared_variables(false).into_iter().collect();
        names.retain(|name| !self.environment.globals().any(|(global, _)| global == name));
        names.sort();
        Ok(names)
    }
}

impl Templates {
    /// The filters and tests that a template names and that there are not: where each begins, and its name.
    pub fn unknown(&self, text: &str) -> Vec<(usize, String)> {
        let mut state = self.environment.empty_state();
        let mut known = |word: &Word| match word {
            Word::Filter(name) => {
                state.apply_filter(name, &[]).err().map(|e| e.kind()) != Some(ErrorKind::UnknownFilter)
            }
            Word::Test(name) => state.perform_test(name, &[]).err().map(|e| e.kind()) != Some(ErrorKind::UnknownTest),
        };
        let unknown = words(text).into_iter().filter(|(_, word)| !known(word));
        unknown.map(|(at, Word::Filter(name) | Word::Test(name))| (at, name.to_owned())).collect()
    }
}

/// An error of the renderer as ours: never with the values it had at hand, which may be secret.
fn fault(e: &minijinja::Error, file: &str, text: &str, names: &Map<String, Value>) -> Error {
    let range = e.range();
    let place = match range.as_ref().and_then(|range| text.get(..range.start)) {
        Some(before) => {
            let length = range
                .as_ref()
                .and_then(|range| text.get(range.clone()))
                .map_or(0, |t| t.lines().next().unwrap_or("").chars().count());
            Place::after(file, before).spanning(length)
        }
        None => Place::new(file, e.line().unwrap_or(0), 0),
    };
    let word = range.and_then(|range| text.get(range)).unwrap_or_default().to_owned();
    let message = match e.kind() {
        ErrorKind::UndefinedError if word.is_empty() => "a name in the template is not defined".to_owned(),
        ErrorKind::UndefinedError => format!("`{word}` is not defined"),
        kind => e.detail().map_or_else(|| kind.to_string(), str::to_owned),
    };
    if let Some(own) = std::error::Error::source(e).and_then(|source| source.downcast_ref::<Error>()) {
        return own.clone().at(place);
    }
    let error = Error::new(Kind::Playbook, message).at(place);
    let first = word.split(['.', '[', '|', ' ']).next().unwrap_or_default();
    match nearest(first, names.keys().map(String::as_str)).filter(|near| *near != first) {
        Some(near) if e.kind() == ErrorKind::UndefinedError => error.hint(format!("did you mean `{near}`?")),
        _ => error,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn render(text: &str, names: Value) -> Result<String> {
        let Value::Object(names) = names else { panic!("a map") };
        Templates::new().render("t.j2", text, &names)
    }

    #[test]
    fn blocks_leave_no_empty_lines_and_the_last_newline_stays() {
        let text = "{% for m in members %}\n- {{ m }}\n{% endfor %}\nend\n";
        assert_eq!(render(text, json!({ "members": ["a", "b"] })).unwrap(), "- a\n- b\nend\n");
    }

    #[test]
    fn an_undefined_name_is_found_at_its_place_with_the_nearest_one() {
        let error = render("a\n  {{ membres }}\n", json!({ "members": [] })).unwrap_err();
        assert_eq!(error.message(), "`membres` is not defined");
        assert_eq!(error.place().unwrap().to_string(), "t.j2:2:6");
        assert_eq!(error.hints(), ["did you mean `members`?"]);
    }

    #[test]
    fn a_value_is_never_read_as_a_template() {
        for hostile in ["{{ 7 * 7 }}", "{% for x in y %}", "${7*7}", "#{", "$(id)"] {
            assert_eq!(render("{{ v }}", json!({ "v": hostile })).unwrap(), hostile);
        }
    }

    fn with_secret(text: &str) -> Result<String> {
        let folder = tempfile::tempdir().unwrap();
        let secrets = Secrets::default();
        let token = secrets.add("pw", "hunter2\"hunter2").unwrap();
        let texts = Texts::new(secrets.clone(), StateDir::at(folder.path().join("state")));
        let names = json!({
            "pw": token, "users": [{ "name": "a", "pw": format!("x{token}") }], "plain": "Plain", "none": null,
        });
        let Value::Object(names) = names else { panic!("a map") };
        let rendered = Templates::with(&texts).render("t.j2", text, &names)?;
        assert!(!rendered.contains("hunter2"), "{rendered}");
        secrets.revealed(&rendered)
    }

    #[test]
    fn what_is_done_with_a_secret_is_done_with_its_text() {
        for (text, wanted) in [
            ("a {{ pw }} b", "a hunter2\"hunter2 b"),
            ("{{ pw | b64encode }}", "aHVudGVyMiJodW50ZXIy"),
            ("{{ pw | b64encode | b64decode }}", "hunter2\"hunter2"),
            ("{{ pw | sha256 }}", "4d8c5ee5dd24a6d4b8d1dd3d5f6a7b3f"),
            ("{{ pw | to_json }}", "\"hunter2\\\"hunter2\""),
            ("{{ {'a': pw} | to_json }}", "{\"a\":\"hunter2\\\"hunter2\"}"),
            ("{{ pw | quote }}", "'hunter2\"hunter2'"),
            ("{% for u in users %}{{ u.name }}={{ u.pw }}{% endfor %}", "a=xhunter2\"hunter2"),
            ("{{ [pw, plain] | join(':') }}", "hunter2\"hunter2:Plain"),
            ("{% if pw %}yes{% endif %}{% if pw is defined %}!{% endif %}", "yes!"),
            ("{{ none | default(pw) if none else pw }}", "hunter2\"hunter2"),
            ("{% set x = pw %}{{ x | default('') }}", "hunter2\"hunter2"),
            ("{% macro m(x) %}<{{ x }}>{% endmacro %}{{ m(pw) }}", "<hunter2\"hunter2>"),
            ("{{ plain | upper }} {{ users | length }} {{ plain ~ 1 }} {{ plain == 'Plain' }}", "PLAIN 1 Plain1 True"),
            ("{{ pw | indent(2) | trim }}", "hunter2\"hunter2"),
        ] {
            let rendered = with_secret(text).unwrap_or_else(|e| panic!("{text}: {e}"));
            let digest = text.contains("sha256").then(|| crate::change::digest(b"hunter2\"hunter2"));
            assert_eq!(rendered, digest.unwrap_or_else(|| wanted.to_owned()), "{text}");
        }
        let hash = with_secret("{{ pw | password_hash('yescrypt') }}").unwrap();
        assert!(hash.starts_with("$y$j9T$"), "{hash}");
        let line = with_secret("{{ pw | htpasswd('me') }}").unwrap();
        assert!(line.starts_with("me:$2y$10$"), "{line}");
    }

    #[test]
    fn everything_else_that_is_done_with_a_secret_is_an_error_that_says_what_to_do() {
        for text in [
            "{{ pw | upper }}",
            "{{ pw | length }}",
            "{{ pw[0:3] }}",
            "{{ pw[0] }}",
            "{{ pw ~ 'x' }}",
            "{{ pw == 'x' }}",
            "{{ 'x' == pw }}",
            "{% if users[0].pw != 'x' %}{% endif %}",
            "{% for u in users %}{% if u.pw == 'x' %}{% endif %}{% endfor %}",
            "{{ pw in 'x' }}",
            "{{ 'x' in pw }}",
            "{{ pw | replace('a', 'b') }}",
            "{{ 'a' | replace('a', pw) }}",
            "{{ pw.upper() }}",
            "{{ pw.startswith('x') }}",
            "{{ pw is string }}",
            "{{ pw is startingwith('x') }}",
            "{{ [pw] }}",
            "{{ users }}",
            "{% for c in pw %}{{ c }}{% endfor %}",
            "{% set x %}{{ pw }}{% endset %}{{ x | upper }}",
            "{% filter upper %}{{ pw }}{% endfilter %}",
            "{{ users | map(attribute='pw') | map('upper') | join }}",
            "{{ pw | int }}",
            "{{ [pw] | pprint }}",
            "{% set x = pw %}{% if 'z' == x %}{% endif %}",
            "{% for u in users %}{% if 'z' != u.pw %}{% endif %}{% endfor %}",
            "{% if 'z'==(pw) %}{% endif %}",
            "{{ 'z' is eq(pw) }}",
            "{{ pw is in(['z']) }}",
        ] {
            let error = with_secret(text).map(|_| ()).unwrap_err();
            assert!(error.to_string().contains("secret"), "{text}: {error}");
            assert!(error.hints().iter().any(|hint| hint.contains("b64encode")), "{text}: {:?}", error.hints());
            assert_eq!(error.place().map(|place| place.file.as_str()), Some("t.j2"), "{text}");
        }
    }

    #[test]
    fn a_syntax_error_has_its_line() {
        assert_eq!(render("ok\n{% if %}\n", json!({})).unwrap_err().place().unwrap().line, 2);
    }
}
