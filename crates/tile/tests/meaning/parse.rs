//! Reads the body of a printed kernel by the grammar of C++.

use std::iter::Peekable;

/// An expression.
#[derive(Debug, Clone)]
pub enum Term {
    /// `name`, `name.x`
    Name(String),
    /// `12u`, `1.5f`, `true`
    Literal(String),
    /// `name[index]`
    Element(String, Box<Term>),
    /// `function(arguments)`; casts too
    Call(String, Vec<Term>),
    /// `-a`
    Prefix(String, Box<Term>),
    /// `a + b`
    Infix(String, Box<Term>, Box<Term>),
    /// `c ? a : b`
    Choice(Box<[Term; 3]>),
    /// `*(space type*)(memory + index)`
    Wide(String, Box<Term>),
}

/// A statement.
#[derive(Debug, Clone)]
pub enum Line {
    /// `const type name = value;`
    Declare { ty: String, name: String, value: Term, constant: bool },
    /// `place op value;`
    Set { place: Term, op: String, value: Term },
    /// `function(arguments);`
    Run(String, Vec<Term>),
    /// `if (condition) { then } else { otherwise }`
    If(Term, Vec<Line>, Vec<Line>),
    /// `for (uint name = from; below; name += step) { body }`
    For { name: String, from: Term, below: Term, step: Term, body: Vec<Line> },
}

type Error = String;
type Tokens<'a> = Peekable<std::vec::IntoIter<&'a str>>;

/// The statements of a kernel.
pub fn kernel(text: &str) -> Result<Vec<Line>, Error> {
    let body = text.split_once("\n{\n").ok_or("no body")?.1;
    let code: String = body.lines().map(|line| line.split("//").next().unwrap_or("")).collect();
    let mut tokens = tokens(&code)?.into_iter().peekable();
    let lines = block(&mut tokens)?;
    match tokens.next() {
        None => Ok(lines),
        Some(token) => Err(format!("{token:?} after the end")),
    }
}

const SYMBOLS: [&str; 15] =
    ["<<=", ">>=", "::", "<<", ">>", "<=", ">=", "==", "!=", "&&", "||", "+=", "-=", "*=", "^="];

fn tokens(code: &str) -> Result<Vec<&str>, Error> {
    let mut tokens = Vec::new();
    let mut rest = code.trim_start();
    while let Some(first) = rest.chars().next() {
        let word = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '.';
        let length = if first.is_ascii_digit() {
            // with an exponent
            let mut end = rest.find(|c| !word(c)).unwrap_or(rest.len());
            if rest[..end].ends_with('e') && !rest.starts_with("0x") {
                end += 1 + rest[end + 1..].find(|c| !word(c)).ok_or("a number without end")?;
            }
            end
        } else if word(first) {
            rest.find(|c| !word(c)).unwrap_or(rest.len())
        } else {
            SYMBOLS.into_iter().find(|symbol| rest.starts_with(symbol)).map_or(1, str::len)
        };
        tokens.push(&rest[..length]);
        rest = rest[length..].trim_start();
    }
    Ok(tokens)
}

fn expect(tokens: &mut Tokens<'_>, wanted: &str) -> Result<(), Error> {
    match tokens.next() {
        Some(token) if token == wanted => Ok(()),
        other => Err(format!("{other:?} where {wanted:?} should be")),
    }
}

fn next(tokens: &mut Tokens<'_>) -> Result<String, Error> {
    tokens.next().map(str::to_string).ok_or("an early end".into())
}

/// Up to and with `}`.
fn block(tokens: &mut Tokens<'_>) -> Result<Vec<Line>, Error> {
    let mut lines = Vec::new();
    while tokens.next_if_eq(&"}").is_none() {
        lines.extend(line(tokens)?);
    }
    Ok(lines)
}

fn line(tokens: &mut Tokens<'_>) -> Result<Option<Line>, Error> {
    let first = *tokens.peek().ok_or("an early end")?;
    match first {
        "alignas" => {
            // a shared array, which is there already
            while next(tokens)? != ";" {}
            Ok(None)
        }
        "if" => {
            next(tokens)?;
            expect(tokens, "(")?;
            let condition = term(tokens)?;
            expect(tokens, ")")?;
            expect(tokens, "{")?;
            let then = block(tokens)?;
            let otherwise = match tokens.next_if_eq(&"else") {
                None => Vec::new(),
                Some(_) if tokens.peek() == Some(&"if") => line(tokens)?.into_iter().collect(),
                Some(_) => {
                    expect(tokens, "{")?;
                    block(tokens)?
                }
            };
            Ok(Some(Line::If(condition, then, otherwise)))
        }
        "for" => {
            next(tokens)?;
            expect(tokens, "(")?;
            expect(tokens, "uint")?;
            let name = next(tokens)?;
            expect(tokens, "=")?;
            let from = term(tokens)?;
            expect(tokens, ";")?;
            let below = term(tokens)?;
            expect(tokens, ";")?;
            expect(tokens, &name)?;
            expect(tokens, "+=")?;
            let step = term(tokens)?;
            expect(tokens, ")")?;
            expect(tokens, "{")?;
            let body = block(tokens)?;
            Ok(Some(Line::For { name, from, below, step, body }))
        }
        "const" | "uint" | "int" | "float" | "bool" => {
            let constant = tokens.next_if_eq(&"const").is_some();
            let (ty, name) = (next(tokens)?, next(tokens)?);
            expect(tokens, "=")?;
            let value = term(tokens)?;
            expect(tokens, ";")?;
            Ok(Some(Line::Declare { ty, name, value, constant }))
        }
        _ => {
            let place = prefix(tokens)?;
            let op = next(tokens)?;
            if let (";", Term::Call(function, arguments)) = (op.as_str(), &place) {
                return Ok(Some(Line::Run(function.clone(), arguments.clone())));
            }
            let value = term(tokens)?;
            expect(tokens, ";")?;
            Ok(Some(Line::Set { place, op, value }))
        }
    }
}

/// Operators of two operands, the weakest first.
const LEVELS: [&[&str]; 10] = [
    &["||"],
    &["&&"],
    &["|"],
    &["^"],
    &["&"],
    &["==", "!="],
    &["<", ">", "<=", ">="],
    &["<<", ">>"],
    &["+", "-"],
    &["*", "/", "%"],
];

fn term(tokens: &mut Tokens<'_>) -> Result<Term, Error> {
    let condition = infix(tokens, 0)?;
    if tokens.next_if_eq(&"?").is_none() {
        return Ok(condition);
    }
    let then = term(tokens)?;
    expect(tokens, ":")?;
    let otherwise = term(tokens)?;
    Ok(Term::Choice(Box::new([condition, then, otherwise])))
}

fn infix(tokens: &mut Tokens<'_>, level: usize) -> Result<Term, Error> {
    let Some(operators) = LEVELS.get(level) else { return prefix(tokens) };
    let mut left = infix(tokens, level + 1)?;
    while let Some(operator) = tokens.next_if(|token| operators.contains(token)) {
        let right = infix(tokens, level + 1)?;
        left = Term::Infix(operator.into(), Box::new(left), Box::new(right));
    }
    Ok(left)
}

fn prefix(tokens: &mut Tokens<'_>) -> Result<Term, Error> {
    if tokens.next_if_eq(&"*").is_some() {
        expect(tokens, "(")?;
        let mut ty = next(tokens)?;
        while tokens.peek() != Some(&"*") {
            ty = next(tokens)?;
        }
        expect(tokens, "*")?;
        expect(tokens, ")")?;
        expect(tokens, "(")?;
        let address = term(tokens)?;
        expect(tokens, ")")?;
        return Ok(Term::Wide(ty, Box::new(address)));
    }
    match tokens.next_if(|token| ["-", "!", "~"].contains(token)) {
        Some(operator) => Ok(Term::Prefix(operator.into(), Box::new(prefix(tokens)?))),
        None => atom(tokens),
    }
}

fn atom(tokens: &mut Tokens<'_>) -> Result<Term, Error> {
    let mut name = next(tokens)?;
    if name == "(" {
        let inner = term(tokens)?;
        expect(tokens, ")")?;
        return Ok(inner);
    }
    if name.starts_with(|c: char| c.is_ascii_digit()) || name == "true" || name == "false" {
        return Ok(Term::Literal(name));
    }
    if !name.starts_with(|c: char| c.is_ascii_alphabetic()) {
        return Err(format!("{name:?} where a value should be"));
    }
    while tokens.next_if_eq(&"::").is_some() {
        name = next(tokens)?;
    }
    if name == "as_type" {
        expect(tokens, "<")?;
        name = format!("as_{}", next(tokens)?);
        expect(tokens, ">")?;
    }
    if tokens.next_if_eq(&"[").is_some() {
        let index = term(tokens)?;
        expect(tokens, "]")?;
        return Ok(Term::Element(name, Box::new(index)));
    }
    if tokens.next_if_eq(&"(").is_none() {
        return Ok(Term::Name(name));
    }
    let mut arguments = vec![term(tokens)?];
    while tokens.next_if_eq(&",").is_some() {
        arguments.push(term(tokens)?);
    }
    expect(tokens, ")")?;
    Ok(Term::Call(name, arguments))
}
