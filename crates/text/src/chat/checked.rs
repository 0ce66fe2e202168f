//! Operators that pay for what they make.
//!
//! minijinja joins lists lazily and does not charge fuel for it, but once about thirty joins are stacked
//! it writes the whole list out: thirty-three doublings of a list are one allocation of 400 GB. `~` writes
//! out any list for free, too. So `+`, `*` and `~` are replaced, one instruction for one, by filters that
//! charge for the size of their result before they make it; `~` then also writes values as Python does.
//! The compiler folds constants without charging for anything, so products are kept from being constant.

use std::collections::BTreeMap;

use minijinja::{
    AutoEscape, Environment, Error, ErrorKind, State, Value,
    machinery::{self, Instruction, Instructions, Token},
    syntax::SyntaxConfig,
    value::ValueKind,
};

use super::python;

const ADD: &str = "__tessera_add";
const MULTIPLY: &str = "__tessera_multiply";
const CONCATENATE: &str = "__tessera_concatenate";

/// A variable that is 1.
const ONE: &str = "__tessera_one";

/// Adds the operators as filters.
pub(super) fn register(environment: &mut Environment<'static>) {
    environment.add_global(ONE, 1);
    environment.add_filter(ADD, add);
    environment.add_filter(MULTIPLY, multiply);
    environment.add_filter(CONCATENATE, |state: &State<'_, '_>, a: Value, b: Value| {
        let (a, b) = (python::text(state, &a)?, python::text(state, &b)?);
        Ok::<String, Error>(a + &b)
    });
}

/// The source with every product `a * b` as `a * 1 * b`, the 1 a variable, so that none is folded. Source
/// that is no template is left for the compiler to complain about.
pub(super) fn unfolded(source: &str, syntax: &SyntaxConfig) -> String {
    let mut out = String::with_capacity(source.len());
    let mut done = 0;
    for (token, span) in machinery::tokenize(source, false, syntax.clone()).map_while(Result::ok) {
        let end = span.end_offset as usize;
        if let (Token::Mul, Some(text)) = (token, source.get(done..end)) {
            out.push_str(text);
            out.push_str(&format!(" {ONE} *"));
            done = end;
        }
    }
    out.push_str(source.get(done..).unwrap_or_default());
    out
}

/// Renders a template with its operators replaced.
pub(super) fn render(
    environment: &Environment<'static>,
    name: &str,
    context: Value,
) -> Result<String, Error> {
    let template = environment.get_template(name)?;
    let compiled = machinery::get_compiled_template(&template);
    let instructions = replaced(&compiled.instructions);
    let blocks: BTreeMap<&str, Instructions<'_>> =
        compiled.blocks.iter().map(|(name, block)| (*name, replaced(block))).collect();
    let mut text = String::new();
    let mut output = machinery::make_string_output(&mut text);
    machinery::eval(environment, &instructions, context, &blocks, &mut output, AutoEscape::None)?;
    Ok(text)
}

/// A copy of the instructions with checked operators; positions, and so jumps, stay as they are.
fn replaced<'s>(instructions: &Instructions<'s>) -> Instructions<'s> {
    /// Says that the engine need not remember where it found the filter.
    const NO_SLOT: u8 = !0;
    let mut copy = Instructions::new(instructions.name(), instructions.source());
    for at in 0.. {
        let Some(instruction) = instructions.get(at) else { break };
        let instruction = match instruction {
            Instruction::Add => Instruction::ApplyFilter(ADD, Some(2), NO_SLOT),
            Instruction::Mul => Instruction::ApplyFilter(MULTIPLY, Some(2), NO_SLOT),
            Instruction::StringConcat => Instruction::ApplyFilter(CONCATENATE, Some(2), NO_SLOT),
            other => other.clone(),
        };
        match instructions.get_span(at) {
            Some(span) => copy.add_with_span(instruction, span),
            None => copy.add(instruction),
        };
    }
    copy
}

/// Python's `a + b`.
fn add(state: &State<'_, '_>, a: Value, b: Value) -> Result<Value, Error> {
    if let (Some(a), Some(b)) = (a.as_str(), b.as_str()) {
        return Ok(Value::from([a, b].concat()));
    }
    if is_list(&a) && is_list(&b) {
        return list(state, a.try_iter()?.chain(b.try_iter()?));
    }
    numbers(&a, &b, i128::checked_add, |a, b| a + b).ok_or_else(|| mismatch("+", &a, &b))
}

/// Python's `a * b`.
fn multiply(state: &State<'_, '_>, a: Value, b: Value) -> Result<Value, Error> {
    let (a, b) = if a.is_integer() { (b, a) } else { (a, b) };
    let times = i64::try_from(b.clone()).map(|n| n.max(0) as u64).ok().filter(|_| b.is_integer());
    match (a.as_str(), times) {
        (Some(text), Some(times)) => {
            state.consume_fuel((text.len() as u64).saturating_mul(times) / 64)?;
            Ok(Value::from(text.repeat(times as usize)))
        }
        (None, Some(times)) if is_list(&a) => {
            let items: Vec<Value> = a.try_iter()?.collect();
            let times = if items.is_empty() { 0 } else { times };
            list(state, (0..times).flat_map(|_| items.iter().cloned()))
        }
        _ => numbers(&a, &b, i128::checked_mul, |a, b| a * b).ok_or_else(|| mismatch("*", &a, &b)),
    }
}

/// A list of the items, one fuel each.
fn list(state: &State<'_, '_>, items: impl Iterator<Item = Value>) -> Result<Value, Error> {
    let mut list = Vec::new();
    for item in items {
        state.consume_fuel(1)?;
        list.push(item);
    }
    Ok(Value::from(list))
}

fn is_list(value: &Value) -> bool {
    matches!(value.kind(), ValueKind::Seq | ValueKind::Iterable)
}

/// Integers where both are, floats otherwise; truth values count as 0 and 1.
fn numbers(
    a: &Value,
    b: &Value,
    integers: fn(i128, i128) -> Option<i128>,
    floats: fn(f64, f64) -> f64,
) -> Option<Value> {
    let integer = |value: &Value| match value.kind() {
        ValueKind::Bool => Some(i128::from(value.is_true())),
        ValueKind::Number if value.is_integer() => i128::try_from(value.clone()).ok(),
        _ => None,
    };
    let float = |value: &Value| match integer(value) {
        Some(integer) => Some(integer as f64),
        None => f64::try_from(value.clone()).ok(),
    };
    match (integer(a), integer(b)) {
        (Some(a), Some(b)) => integers(a, b).map(Value::from),
        _ => Some(Value::from(floats(float(a)?, float(b)?))),
    }
}

fn mismatch(operator: &str, a: &Value, b: &Value) -> Error {
    let problem = format!("`{operator}` does not take {} and {}", a.kind(), b.kind());
    Error::new(ErrorKind::InvalidOperation, problem)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn render(source: &'static str) -> String {
        let mut environment = super::super::environment::new();
        let source = unfolded(source, environment.syntax());
        environment.add_template_owned("t", source).unwrap();
        super::render(&environment, "t", Value::from(())).unwrap()
    }

    #[test]
    fn operators_as_in_python() {
        let cases = [
            (
                "{{ 1 + 2 }} {{ 1 + 0.5 }} {{ true + 1 }} {{ 'a' + 'b' }} {{ [1] + [2] }}",
                "3 1.5 2 ab [1, 2]",
            ),
            (
                "{{ 3 * 2 }} {{ 3 * 0.5 }} {{ 'ab' * 2 }}{{ 2 * 'c' }} {{ [1] * 2 }}",
                "6 1.5 ababcc [1, 1]",
            ),
            ("{{ 'n: ' ~ 1 ~ true ~ none }} {{ -1 * 'x' }}", "n: 1TrueNone "),
            ("{{ 7 + 2 * 3 - 1 }} {{ (1 + 2) * 3 }} {{ 2 ** 3 * 2 }} * {# * #}", "12 9 16 * "),
            ("{{ dict(a=1, **{'b': 2}) }}", "{'a': 1, 'b': 2}"),
        ];
        for (source, expected) in cases {
            assert_eq!(render(source), expected, "{source}");
        }
    }

    #[test]
    fn products_are_not_constant() {
        let syntax = SyntaxConfig::default();
        assert_eq!(unfolded("* {{ 2*3 }}", &syntax), "* {{ 2* __tessera_one *3 }}");
        assert_eq!(unfolded("{{ 2 ** 3 }}{{ ( }", &syntax), "{{ 2 ** 3 }}{{ ( }");
    }
}
