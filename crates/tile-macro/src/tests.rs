//! Every refusal, with its message and the text it points at.

use proc_macro2::TokenStream;
use syn::{DeriveInput, Error, ItemFn};

use crate::{arguments, body, function, name};

/// Message and place of each error.
fn errors<T>(result: Result<T, Error>) -> Vec<(String, String)> {
    let Err(error) = result else { return Vec::new() };
    let place = |error: &Error| error.span().source_text().unwrap_or_default();
    error.into_iter().map(|error| (error.to_string(), place(&error))).collect()
}

/// Asserts that `body` in a kernel is refused with `message` at `place`, and once.
#[track_caller]
fn refused(body: &str, message: &str, place: &str) {
    let text = format!("fn f(k: &K, x: In<F32>) {{ {body} }}");
    let function: ItemFn = syn::parse_str(&text).unwrap();
    let found = errors(body::rewrite(&mut function.block.clone(), true));
    assert_eq!(found, [(message.to_string(), place.to_string())], "in {body}");
    // the attributes pass it on
    assert_eq!(errors(function::kernel(function.clone())), found);
    assert_eq!(errors(function::device(function)), found);
}

/// Asserts that a kernel function is refused with `message` at `place`.
#[track_caller]
fn refused_function(text: &str, message: &str, place: &str) {
    let found = errors(function::kernel(syn::parse_str(text).unwrap()));
    assert_eq!(found, [(message.to_string(), place.to_string())], "{text}");
}

/// What a body becomes, without blanks.
fn rewritten(body: &str) -> String {
    let mut block = syn::parse_str(&format!("{{ {body} }}")).unwrap();
    body::rewrite(&mut block, true).unwrap();
    tokens(quote::quote!(#block))
}

fn tokens(tokens: TokenStream) -> String {
    tokens.to_string().replace(char::is_whitespace, "")
}

#[test]
fn loops_that_may_not_end() {
    let message = "loops of a kernel are `for`, so that they end";
    refused("while a < b { c(); }", message, "while a < b { c(); }");
    refused("loop { c(); }", message, "loop { c(); }");
    refused("if a { loop {} }", message, "loop {}");
    refused("let x = { loop {} };", message, "loop {}");
}

#[test]
fn jumps() {
    let message = "threads leave a block at its end; use `if`";
    refused("for i in 0..n { break; }", message, "break");
    refused("for i in 0..n { continue; }", message, "continue");
    refused("if a < b { return; }", message, "return");
    refused("let x = f(|| return 1);", message, "return 1");
}

#[test]
fn what_has_no_meaning_on_a_device() {
    refused("x.load()?;", "`?` has no meaning on a device", "x.load()?");
    refused("async { 1 };", "a kernel does not wait", "async { 1 }");
    refused("f().await;", "a kernel does not wait", "f().await");
    refused("unsafe { f() };", "nothing in a kernel needs `unsafe`", "unsafe { f() }");
    let message = "a kernel's variables are changed by assignment only";
    refused("f(&mut x);", message, "&mut x");
    refused("let y = &mut x;", message, "&mut x");
}

#[test]
fn short_circuits() {
    let message = "a kernel computes both sides: write `&` or `|`";
    refused("if a < b && c < d { f(); }", message, "&&");
    refused("let x = a || b;", message, "||");
    refused("f(a == b || c);", message, "||");
}

#[test]
fn declarations() {
    refused("let x;", "a kernel's `let` has a value", "let x;");
    let message = "`let else` has no meaning in a kernel";
    refused("let Some(x) = y else { f() };", message, "{ f() }");
    let message = "a variable of a kernel is declared by itself, `let mut name = ...`";
    refused("let (mut a, b) = f();", message, "mut");
    refused("let [a, mut b] = f();", message, "mut");
    refused("let (a, mut b): (A, B) = f();", message, "mut");
}

#[test]
fn items_and_macros() {
    let message = "a kernel holds no items but constants";
    refused("fn g() {}", message, "fn g() {}");
    refused("struct S;", message, "struct S;");
    refused("static X: u32 = 1;", message, "static X: u32 = 1;");
    let message = "a kernel does not see into macros; only assert! and matches!";
    refused("println!(\"{}\", 1);", message, "println!(\"{}\", 1)");
    refused("f(format!(\"\"));", message, "format!(\"\")");
    refused("let x = std::vec![1];", message, "std::vec![1]");
}

#[test]
fn loops_of_other_kinds() {
    refused("'a: for i in 0..n { f(); }", "loops of a kernel have no labels", "'a:");
    let message = "loops of a kernel run over `a..b` or `(a..b).step_by(c)`";
    refused("for i in 0..=n { f(); }", message, "0..=n");
    refused("for i in 0.. { f(); }", message, "0..");
    refused("for i in (0..=n).step_by(2) { f(); }", message, "(0..=n).step_by(2)");
}

#[test]
fn all_errors_are_told_at_once() {
    let text = "{ let x; while a { } f(a && b); g()?; }";
    let found = errors(body::rewrite(&mut syn::parse_str(text).unwrap(), true));
    let places: Vec<&str> = found.iter().map(|(_, place)| place.as_str()).collect();
    assert_eq!(places, ["let x;", "while a { }", "&&", "g()?"]);
}

#[test]
fn refusals_reach_every_nesting() {
    let message = "threads leave a block at its end; use `if`";
    for body in [
        "if a { } else { return; }",
        "if a { } else if b { return; }",
        "if let Some(x) = y { return; }",
        "for i in 0..n { return; }",
        "for i in x.load() { return; }",
        "match y { A => return, B => {} }",
        "let x = if a { return } else { b };",
        "f([1, 2].map(|i| { return; }));",
        "x.set(i, { return });",
        "x[{ return }] = 1;",
        "y += { return };",
        "let z = (1, { return });",
    ] {
        refused(body, message, "return");
    }
}

#[test]
fn functions() {
    let message = "a kernel is a plain function";
    refused_function("async fn f(k: &K) {}", message, "async");
    refused_function("unsafe fn f(k: &K) {}", message, "unsafe");
    refused_function("const fn f(k: &K) {}", message, "const");
    let found = errors(function::device(syn::parse_str("async fn f() {}").unwrap()));
    assert_eq!(found, [(message.to_string(), "async".to_string())]);
    let message = "a kernel gives nothing back; it writes to its buffers";
    refused_function("fn f(k: &K) -> u32 { 1 }", message, "-> u32");
    let message = "a kernel is specialised by its first parameter, not by generics";
    refused_function("fn f<T>(k: &K) {}", message, "<T>");
    refused_function("fn f<const N: usize>(k: &K) {}", message, "<const N: usize>");
}

#[test]
fn specialisations() {
    let message = "the first parameter is the specialisation, `k: &Spec`";
    refused_function("fn f() {}", message, "f");
    refused_function("fn f(&self) {}", message, "f");
    refused_function("fn f(k: K) {}", message, "K");
    refused_function("fn f(k: &mut K) {}", message, "&mut K");
    refused_function("fn f(K { a }: &K) {}", message, "&K");
}

#[test]
fn parameters() {
    refused_function("fn f(k: &K, (a, b): T) {}", "a parameter has a name", "(a, b)");
    let message = "of(...) and when(...) are known";
    refused_function("fn f(k: &K, #[other(1)] x: In<F32>) {}", message, "other(1)");
    refused_function("fn f(k: &K, #[of] x: In<F32>) {}", message, "#[of]");
    refused_function("fn f(k: &K, #[of = 1] x: In<F32>) {}", message, "#[of = 1]");
    let message = "a buffer that may be missing is an Option";
    refused_function("fn f(k: &K, #[when(k.a)] x: In<F32>) {}", message, "In<F32>");
}

#[test]
fn argument_structs() {
    let refused = |text: &str, message: &str, place: &str| {
        let item: DeriveInput = syn::parse_str(text).unwrap();
        let found = errors(arguments::derive(&item));
        assert_eq!(found, [(message.to_string(), place.to_string())], "{text}");
    };
    refused("enum A { B }", "arguments of a kernel are a struct", "enum A { B }");
    refused("struct A(u32);", "arguments have names", "(u32)");
    let message = "an argument is a u32, an i32 or an f32";
    refused("struct A { a: u32, b: u64 }", message, "u64");
    refused("struct A { a: bool }", message, "bool");
    refused("struct A { a: [u32; 2] }", message, "[u32; 2]");
    refused("struct A { a: std::primitive::u32 }", message, "std::primitive::u32");
    let item: DeriveInput = syn::parse_str("struct A { a: u32, b: i32, c: f32 }").unwrap();
    assert!(arguments::derive(&item).is_ok());
}

#[test]
fn names() {
    let refused = |text: &str, message: &str, place: &str| {
        let item: DeriveInput = syn::parse_str(text).unwrap();
        let found = errors(name::derive(&item));
        assert_eq!(found, [(message.to_string(), place.to_string())], "{text}");
    };
    let message = "a struct or an enum tells its name";
    refused("union A { a: u32 }", message, "union A { a: u32 }");
    refused("enum A {}", message, "enum A {}");
    refused("struct A<T>(T);", "what tells its name is no generic type", "<T>");
    refused(
        "struct A { #[name] a: u32 }",
        "expected attribute arguments in parentheses: #[name(...)]",
        "name",
    );
}

#[test]
fn what_is_replaced() {
    let named = |name: &str| {
        format!(
            "{{ #[allow(unused_imports)] use ::tessera_tile::flow::{{NamedOther as _, NamedValue as _}};
            (&::tessera_tile::flow::Named(&{name})).name(stringify!({name})); }}"
        )
    };
    let cases = [
        ("a += b;", "{ ::tessera_tile::flow::Assign::assign(&a, a + (b)); }".to_string()),
        (
            "a[i] <<= b + 1;",
            "{ ::tessera_tile::flow::Assign::assign(&a[i], a[i] << (b + 1)); }".into(),
        ),
        ("a = b;", "{ ::tessera_tile::flow::Assign::assign(&a, b); }".into()),
        ("f(a >= b);", "{ f(::tessera_tile::flow::Compare::ge(a, b)); }".into()),
        ("let a = b;", format!("{{ let a = b; {} }}", named("a"))),
        (
            "let mut a = b;",
            "{ let a = ::tessera_tile::flow::Mutable::variable(b, stringify!(a)); }".into(),
        ),
        (
            "let mut a: T = b;",
            "{ let a = ::tessera_tile::flow::Mutable::variable(
                { let value: T = b; value }, stringify!(a)); }"
                .into(),
        ),
        (
            "for i in 0..n { }",
            format!(
                "{{ for i in ::tessera_tile::flow::Bounds::each(0, n, ::tessera_tile::flow::One)
                {{ {} }} }}",
                named("i")
            ),
        ),
        (
            "for _ in (a..b).step_by(c) { }",
            "{ for _ in ::tessera_tile::flow::Bounds::each(a, b, c) { } }".into(),
        ),
        (
            "if a { b(); } else { c(); }",
            "{ { let mut branch = ::tessera_tile::flow::Condition::begin(a);
                if branch.then() { b(); } if branch.otherwise() { { c(); } } branch.end(); } }"
                .into(),
        ),
        ("if let Some(a) = b { c(); }", "{ if let Some(a) = b { c(); } }".into()),
        ("assert!(a < b);", "{ assert!(a < b); }".into()),
        ("const A: u32 = 1;", "{ const A: u32 = 1; }".into()),
    ];
    for (body, expected) in cases {
        assert_eq!(rewritten(body), tokens(expected.parse().unwrap()), "{body}");
    }
}
