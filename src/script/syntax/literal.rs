//! What an expression is known to be before anything runs.

use rhai::{Expr, Ident};
use serde_json::{Map, Value};

/// The fields of a map that is written out.
pub(in crate::script) type Fields<'a> = &'a [(Ident, Expr)];

/// The value of an expression that computes nothing.
pub(in crate::script) fn value(expression: &Expr) -> Option<Value> {
    match expression {
        Expr::BoolConstant(flag, _) => Some((*flag).into()),
        Expr::IntegerConstant(number, _) => Some((*number).into()),
        Expr::FloatConstant(number, _) => Some((**number).into()),
        Expr::CharConstant(letter, _) => Some(letter.to_string().into()),
        Expr::StringConstant(text, _) => Some(text.as_str().into()),
        Expr::Unit(_) => Some(Value::Null),
        Expr::Array(items, _) => items.iter().map(value).collect::<Option<Vec<_>>>().map(Value::Array),
        Expr::Map(..) => {
            let fields = fields(expression)?.iter().map(|(key, item)| Some((key.name.to_string(), value(item)?)));
            fields.collect::<Option<Map<_, _>>>().map(Value::Object)
        }
        _ => None,
    }
}

/// The fields of a map that is written out, whatever their values.
pub(in crate::script) fn fields(expression: &Expr) -> Option<Fields<'_>> {
    match expression {
        Expr::Map(fields, _) => Some(&fields.0),
        _ => None,
    }
}

/// The value of one field.
pub(in crate::script) fn field<'a>(fields: Fields<'a>, name: &str) -> Option<&'a Expr> {
    fields.iter().find(|(key, _)| key.name == name).map(|(_, value)| value)
}
