//! Templates: minijinja, with undefined names an error and every error at its place.

use minijinja::value::Value as Jinja;
use minijinja::{AutoEscape, Environment, ErrorKind, UndefinedBehavior, syntax::SyntaxConfig};
use serde_json::{Map, Value};

use crate::error::{Error, Kind, Place, Result, nearest};

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
    /// A renderer with mk's rules and filters.
    pub fn new() -> Self {
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        environment.set_auto_escape_callback(|_| AutoEscape::None);
        environment.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
        // Blocks leave no empty lines, and a file keeps the newline at its end.
        let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).keep_trailing_newline(true).build();
        if let Ok(syntax) = syntax {
            environment.set_syntax(syntax);
        }
        environment.add_filter("b64encode", |text: String| {
            use base64::Engine as _;
            base64::engine::general_purpose::STANDARD.encode(text)
        });
        environment.add_filter("to_json", |value: Jinja| serde_json::to_string(&value).unwrap_or_default());
        environment.add_filter("to_yaml", |value: Jinja| serde_saphyr::to_string(&value).unwrap_or_default());
        Self { environment }
    }

    /// Renders a text with these names.
    ///
    /// # Errors
    /// A syntax error or an undefined name, at its line and column in the template.
    pub fn render(&self, file: &str, text: &str, names: &Map<String, Value>) -> Result<String> {
        let context = minijinja::value::Value::from(minijinja::value::Serde(names));
        let template =
            self.environment.template_from_named_str(file, text).map_err(|e| fault(&e, file, text, names))?;
        template.render(context).map_err(|e| fault(&e, file, text, names))
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

/// An error of the renderer as ours: never with the values it had at hand, which may be secret.
fn fault(e: &minijinja::Error, file: &str, text: &str, names: &Map<String, Value>) -> Error {
    let range = e.range();
    let place = match range.as_ref().and_then(|range| text.get(..range.start)) {
        Some(before) => {
            let line = before.matches('\n').count() + 1;
            let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
            let length = range
                .as_ref()
                .and_then(|range| text.get(range.clone()))
                .map_or(0, |t| t.lines().next().unwrap_or("").chars().count());
            Place::new(file, line, column).spanning(length)
        }
        None => Place::new(file, e.line().unwrap_or(0), 0),
    };
    let word = range.and_then(|range| text.get(range)).unwrap_or_default().to_owned();
    let message = match e.kind() {
        ErrorKind::UndefinedError if word.is_empty() => "a name in the template is not defined".to_owned(),
        ErrorKind::UndefinedError => format!("`{word}` is not defined"),
        kind => e.detail().map_or_else(|| kind.to_string(), str::to_owned),
    };
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

    #[test]
    fn a_syntax_error_has_its_line() {
        assert_eq!(render("ok\n{% if %}\n", json!({})).unwrap_err().place().unwrap().line, 2);
    }
}
