//! Expressions that only work out a value: nothing can be seen of them, and nothing they see can change meanwhile.

use rhai::{Expr, FnCallExpr, Stmt};

use super::Names;
use super::ways::Script;
use crate::script::functions::{Effect, function_named, is_callable, takes_closure};

/// What the language handles itself, what can be seen from outside, and what compares values, for which a script may have
/// functions of its own.
const OPAQUE: [&str; 11] =
    ["Fn", "call", "curry", "debug", "dedup", "eval", "order", "print", "sleep", "sort", "timestamp"];

impl Script {
    pub(super) fn is_own(&self, name: &str) -> bool {
        self.functions.contains(name) || self.fields.contains(name) && crate::ops::find(name).is_err()
    }

    pub(super) fn are_values(&self, values: &[Expr], needs: &mut Names) -> bool {
        values.iter().all(|value| self.is_value(value, needs))
    }

    /// Whether an expression only works out a value, if the functions that it calls do.
    pub(super) fn is_value(&self, value: &Expr, needs: &mut Names) -> bool {
        match value {
            Expr::DynamicConstant(value, _) => !value.is_fnptr(),
            Expr::BoolConstant(..)
            | Expr::IntegerConstant(..)
            | Expr::FloatConstant(..)
            | Expr::CharConstant(..)
            | Expr::StringConstant(..)
            | Expr::Unit(_)
            | Expr::Variable(..)
            | Expr::ThisPtr(_)
            | Expr::Property(..) => true,
            Expr::InterpolatedString(values, _) | Expr::Array(values, _) => self.are_values(values, needs),
            Expr::And(values, _) | Expr::Or(values, _) | Expr::Coalesce(values, _) => self.are_values(values, needs),
            Expr::Map(fields, _) => fields.0.iter().all(|(_, value)| self.is_value(value, needs)),
            Expr::Dot(parts, ..) | Expr::Index(parts, ..) => {
                self.is_value(&parts.lhs, needs) && self.is_value(&parts.rhs, needs)
            }
            Expr::FnCall(call, _) => self.is_call(call, needs),
            Expr::MethodCall(call, _) => !self.is_own(&call.name) && self.is_call(call, needs),
            Expr::Stmt(block) => self.only_values(block.statements(), false, needs),
            _ => false,
        }
    }

    /// Whether statements only work out values, and go on behind them unless they are a function's own.
    pub(super) fn only_values(&self, statements: &[Stmt], own: bool, needs: &mut Names) -> bool {
        statements.iter().all(|statement| match statement {
            Stmt::Noop(_) | Stmt::Share(_) => true,
            Stmt::Expr(value) => self.is_value(value, needs),
            Stmt::FnCall(call, _) => self.is_call(call, needs),
            Stmt::Var(parts, ..) => self.is_value(&parts.1, needs),
            Stmt::Assignment(parts) => self.is_value(&parts.1.lhs, needs) && self.is_value(&parts.1.rhs, needs),
            Stmt::Return(value, ..) => own && value.as_ref().is_none_or(|value| self.is_value(value, needs)),
            Stmt::Block(block) => self.only_values(block.statements(), own, needs),
            Stmt::If(flow, _) => {
                self.is_value(&flow.expr, needs)
                    && self.only_values(flow.body.statements(), own, needs)
                    && self.only_values(flow.branch.statements(), own, needs)
            }
            Stmt::For(parts, _) => {
                self.is_value(&parts.2.expr, needs) && self.only_values(parts.2.body.statements(), own, needs)
            }
            _ => false,
        })
    }

    /// Whether a call only works out a value, if the script's function that it may be does.
    pub(super) fn is_call(&self, call: &FnCallExpr, needs: &mut Names) -> bool {
        let name = call.name.as_str();
        if !self.are_values(&call.args, needs) {
            return false;
        }
        if !call.namespace.is_empty() || self.functions.contains(name) {
            needs.insert(name.to_owned());
            return true;
        }
        // What is neither mk's function nor an operation is the language's own.
        let pure = match function_named(name) {
            Some(function) => function.effect == Effect::Pure,
            None => crate::ops::find(name).is_err(),
        };
        call.is_operator_call() || is_callable(name) && !OPAQUE.contains(&name) && !takes_closure(name) && pure
    }
}
