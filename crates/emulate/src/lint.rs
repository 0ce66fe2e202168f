//! What a C++ compiler accepts and a GPU's does not.

use std::collections::{BTreeMap, BTreeSet};

use tessera_tile::Program;

use crate::{
    Language,
    tokens::{Sort, Token, tokens},
};

/// Something that may not stand in a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Complaint {
    /// Line, from 1.
    pub line: u32,
    /// What is wrong.
    pub what: String,
}

/// Types after which a star makes a pointer.
const TYPES: &[&str] = &[
    "bool",
    "char",
    "uchar",
    "short",
    "ushort",
    "int",
    "uint",
    "long",
    "ulong",
    "half",
    "bfloat",
    "float",
    "atomic_uint",
    "atomic_int",
    "void",
    "auto",
];

const SPACES: &[&str] = &["device", "constant", "threadgroup", "thread"];

/// What a kernel's parameter may be, beside `buffer(n)`.
const PLACES: &[&str] = &[
    "threadgroup_position_in_grid",
    "thread_index_in_threadgroup",
    "thread_index_in_simdgroup",
    "simdgroup_index_in_threadgroup",
];

/// Attributes of statements and functions.
const ATTRIBUTES: &[&str] = &["max_total_threads_per_threadgroup", "host_name", "unroll"];

/// Looks over the printed text of `programs`.
pub fn lint(language: Language, text: &str, programs: &[Program]) -> Result<(), Complaint> {
    let tokens = tokens(text);
    doubles(&tokens)?;
    if language == Language::Metal {
        recursion(&tokens)?;
        pointers(&tokens)?;
        attributes(&tokens, programs)?;
    }
    Ok(())
}

fn complain<T>(token: &Token<'_>, what: impl Into<String>) -> Result<T, Complaint> {
    Err(Complaint { line: token.line, what: what.into() })
}

/// Metal has no double precision, and on CUDA it is slow: a literal of it is a slip.
fn doubles(tokens: &[Token<'_>]) -> Result<(), Complaint> {
    for token in tokens {
        if token.sort == Sort::Word && token.is("double") {
            return complain(token, "double precision");
        }
        let number = token.text;
        let hex = number.starts_with("0x");
        let float = number.contains(['.', 'p']) || (!hex && number.contains(['e', 'E']));
        if token.sort == Sort::Number && float && !number.ends_with(['f', 'h']) {
            return complain(token, format!("{number} is of double precision"));
        }
    }
    Ok(())
}

/// Every pointer and reference says where it points.
fn pointers(tokens: &[Token<'_>]) -> Result<(), Complaint> {
    let structs: BTreeSet<_> =
        tokens.windows(2).filter(|pair| pair[0].is("struct")).map(|pair| pair[1].text).collect();
    let scalar = |text: &str| text.trim_end_matches(|c: char| c.is_ascii_digit()).to_owned();
    let is_type = |text: &str| TYPES.contains(&scalar(text).as_str()) || structs.contains(text);
    for (at, token) in tokens.iter().enumerate() {
        if !(token.is("*") || token.is("&")) {
            continue;
        }
        let before = tokens[..at].iter().rev();
        let mut declared = before.take_while(|t| t.sort == Sort::Word || t.is(":"));
        let mut near = declared.clone().filter(|t| !t.is("const") && !t.is("volatile"));
        if near.next().is_some_and(|t| is_type(t.text))
            && !declared.any(|t| SPACES.contains(&t.text))
        {
            return complain(token, "a pointer or reference without an address space");
        }
    }
    Ok(())
}

/// A function and the names of those it calls.
type Function<'a> = (Token<'a>, BTreeSet<&'a str>);

/// Functions by name, without those of which there are several for different types: a call does not tell which is meant.
fn functions<'a>(tokens: &[Token<'a>]) -> BTreeMap<&'a str, Function<'a>> {
    let mut functions: Vec<Function<'a>> = Vec::new();
    let (mut depth, mut parens) = (0u32, 0u32);
    let mut named = None;
    for pair in tokens.windows(2) {
        match pair[0].text {
            "(" => parens += 1,
            ")" => parens = parens.saturating_sub(1),
            "{" => {
                if depth == 0 {
                    functions.extend(named.take().map(|name| (name, BTreeSet::new())));
                }
                depth += 1;
            }
            "}" => depth = depth.saturating_sub(1),
            ";" if depth == 0 => named = None,
            name if pair[0].sort == Sort::Word && pair[1].is("(") => match functions.last_mut() {
                Some((_, calls)) if depth > 0 => _ = calls.insert(name),
                _ if depth == 0 && parens == 0 => named = Some(pair[0]),
                _ => {}
            },
            _ => {}
        }
    }
    let count = |name: &str| functions.iter().filter(|(token, _)| token.is(name)).count();
    let single: Vec<bool> = functions.iter().map(|(token, _)| count(token.text) == 1).collect();
    let single = functions.into_iter().zip(single).filter_map(|(f, single)| single.then_some(f));
    single.map(|function| (function.0.text, function)).collect()
}

/// No function calls itself, nor through others.
fn recursion(tokens: &[Token<'_>]) -> Result<(), Complaint> {
    let functions = functions(tokens);
    for (&name, (token, _)) in &functions {
        let (mut seen, mut open) = (BTreeSet::new(), vec![name]);
        while let Some(function) = open.pop() {
            for &called in functions.get(function).into_iter().flat_map(|(_, calls)| calls) {
                if called == name {
                    return complain(token, format!("{name} calls itself"));
                }
                if seen.insert(called) {
                    open.push(called);
                }
            }
        }
    }
    Ok(())
}

/// Attributes are spelt as Metal spells them, and buffers are bound in the program's order.
fn attributes(tokens: &[Token<'_>], programs: &[Program]) -> Result<(), Complaint> {
    let mut current: Option<(&Program, usize)> = None;
    for (at, token) in tokens.iter().enumerate() {
        let next = |by: usize| tokens.get(at + by).map_or("", |t| t.text);
        if token.sort == Sort::Word && next(1) == "(" && at > 0 && tokens[at - 1].is("void") {
            current = programs.iter().find(|p| p.name == token.text).map(|p| (p, 0));
        }
        if !(token.is("[") && next(1) == "[") {
            continue;
        }
        let name = next(2);
        if name == "buffer" {
            let Some((program, bound)) = &mut current else {
                return complain(token, "a buffer of no kernel");
            };
            if next(4) != bound.to_string() {
                let what =
                    format!("kernel {}: buffer({}) after {bound} others", program.name, next(4));
                return complain(token, what);
            }
            *bound += 1;
            let places = program.buffers.len() + usize::from(!program.fields.is_empty());
            if *bound > places {
                return complain(token, format!("kernel {} has {places} buffers", program.name));
            }
        } else if !PLACES.contains(&name) && !ATTRIBUTES.contains(&name) {
            return complain(token, format!("Metal has no attribute {name}"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complaint(text: &str) -> Option<String> {
        lint(Language::Metal, text, &[]).err().map(|c| format!("{}: {}", c.line, c.what))
    }

    #[test]
    fn what_clang_cannot_see_is_seen() {
        let fine = "struct k_args { uint n; };\n\
            inline float half_of(float x) { return x * 0.5f; }\n\
            kernel void k(uint3 group [[threadgroup_position_in_grid]]) {\n\
              const device float4* p = (device const float4*)(q + 4 * i);\n\
              float y = a * b + 1e-5f + half_of(2.0h) + x[i & 3] + half4(1.0f)[0] * c;\n\
            }";
        assert_eq!(complaint(fine), None);
        let seen = [
            ("float x;\ndouble y;", "2: double precision"),
            ("float x = 1.0;", "1: 1.0 is of double precision"),
            ("float x = 1e5;", "1: 1e5 is of double precision"),
            ("uint x = 0x1eu;\nfloat* p;", "2: a pointer or reference without an address space"),
            ("(const float4*)(q)", "1: a pointer or reference without an address space"),
            (
                "struct S { int x; };\nvoid f(S& s);",
                "2: a pointer or reference without an address space",
            ),
            ("int f(int x) { return x ? f(x - 1) : 0; }", "1: f calls itself"),
            (
                "int g(int);\nint f() { return g(1); }\nint g(int x) { return f(); }",
                "2: f calls itself",
            ),
            (
                "void k(uint x [[thread_index_in_thredgroup]])",
                "1: Metal has no attribute thread_index_in_thredgroup",
            ),
        ];
        for (text, expected) in seen {
            assert_eq!(complaint(text).as_deref(), Some(expected), "{text}");
        }
    }

    #[test]
    fn buffers_are_bound_in_order() {
        let program = crate::library::tests::empty("k", 2);
        let bound = |numbers: [u32; 2]| {
            let [a, b] = numbers;
            let text = format!(
                "kernel void k(device float* a [[buffer({a})]], device float* b [[buffer({b})]]) {{}}"
            );
            lint(Language::Metal, &text, std::slice::from_ref(&program))
        };
        assert_eq!(bound([0, 1]), Ok(()));
        for wrong in [[1, 0], [0, 0], [0, 2]] {
            assert!(bound(wrong).is_err(), "{wrong:?}");
        }
    }
}
