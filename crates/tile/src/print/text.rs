//! Text of an expression that knows how tightly it binds, so that parentheses stand where they are needed.

/// How tightly an expression binds; the weakest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Binds {
    /// `c ? a : b`
    Choice,
    /// `a || b`
    Or,
    /// `a && b`
    And,
    /// `a & b`, `a | b`, `a ^ b`: never without parentheses within another.
    Bits,
    /// `a < b`
    Compare,
    /// `a << b`
    Shift,
    /// `a + b`
    Sum,
    /// `a * b`
    Product,
    /// `-a`
    Prefix,
    /// A name, a literal, a call, an element.
    Atom,
}

/// Text of an expression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text {
    /// The text.
    pub text: String,
    /// How tightly it binds.
    pub binds: Binds,
    /// If the text is `int(x)`: that unsigned `x`.
    pub unsigned: Option<Box<Text>>,
    /// If the text is `a + b` or alike: `a`, and the `+= b` that would change `a` to it.
    pub change: Option<Box<(String, String)>>,
}

impl Text {
    /// A text that binds as told.
    pub fn new(binds: Binds, text: impl Into<String>) -> Self {
        Self { text: text.into(), binds, unsigned: None, change: None }
    }

    /// A name, a literal, a call.
    pub fn atom(text: impl Into<String>) -> Self {
        Self::new(Binds::Atom, text)
    }

    /// `function(arguments)`.
    pub fn call(function: &str, arguments: &[&Text]) -> Self {
        let arguments: Vec<&str> = arguments.iter().map(|text| text.text.as_str()).collect();
        Self::atom(format!("{function}({})", arguments.join(", ")))
    }

    /// `int(self)` of an unsigned number.
    pub fn int(self) -> Self {
        let text = format!("int({})", self.text);
        Self { unsigned: Some(Box::new(self)), ..Self::atom(text) }
    }

    /// `uint(self)` of a signed number.
    pub fn uint(&self) -> Self {
        match &self.unsigned {
            Some(inner) => (**inner).clone(),
            None if self.text.parse::<u32>().is_ok() => Self::atom(format!("{}u", self.text)),
            None => Self::call("uint", &[self]),
        }
    }

    /// The text as an operand that must bind at least so tightly.
    pub fn operand(&self, at_least: Binds) -> String {
        if self.binds >= at_least { self.text.clone() } else { format!("({})", self.text) }
    }

    /// `a symbol b`, where an operand that binds less tightly than told is put in parentheses.
    pub fn infix(a: &Self, symbol: &str, b: &Self, binds: Binds) -> Self {
        let (left, right) = match binds {
            Binds::Product => (Binds::Product, Binds::Prefix),
            Binds::Sum => (Binds::Sum, Binds::Product),
            Binds::Compare => (Binds::Sum, Binds::Sum),
            Binds::And => (Binds::And, Binds::Compare),
            Binds::Or => (Binds::Or, Binds::Compare),
            _ => (Binds::Prefix, Binds::Prefix),
        };
        // `a && b || c` is right, but compilers ask for parentheses
        let left = if binds == Binds::Or && a.binds != Binds::Or { Binds::Compare } else { left };
        // `a && b & c` likewise
        let left = if a.binds == Binds::Bits { Binds::Prefix } else { left };
        let text = format!("{} {symbol} {}", a.operand(left), b.operand(right));
        let changes = matches!(binds, Binds::Sum | Binds::Product | Binds::Bits | Binds::Shift);
        let change = (a.text.clone(), format!("{symbol}= {}", b.text));
        Self { change: changes.then(|| Box::new(change)), ..Self::new(binds, text) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn infix(a: &Text, symbol: &str, b: &Text) -> Text {
        let binds = match symbol {
            "*" | "/" | "%" => Binds::Product,
            "+" | "-" => Binds::Sum,
            "<<" | ">>" => Binds::Shift,
            "<" | "==" | "!=" => Binds::Compare,
            "&&" => Binds::And,
            "||" => Binds::Or,
            _ => Binds::Bits,
        };
        Text::infix(a, symbol, b, binds)
    }

    /// `a first b` as the left and as the right operand of `second`.
    fn nested(first: &str, second: &str) -> [String; 2] {
        let [a, b, c] = ["a", "b", "c"].map(Text::atom);
        let inner = infix(&a, first, &b);
        [infix(&inner, second, &c).text, infix(&c, second, &inner).text]
    }

    #[test]
    fn parentheses_stand_where_they_are_needed() {
        assert_eq!(nested("+", "+"), ["a + b + c", "c + (a + b)"]);
        assert_eq!(nested("-", "-"), ["a - b - c", "c - (a - b)"]);
        assert_eq!(nested("*", "+"), ["a * b + c", "c + a * b"]);
        assert_eq!(nested("+", "*"), ["(a + b) * c", "c * (a + b)"]);
        assert_eq!(nested("/", "%"), ["a / b % c", "c % (a / b)"]);
        assert_eq!(nested("+", "<"), ["a + b < c", "c < a + b"]);
        assert_eq!(nested("<", "&&"), ["a < b && c", "c && a < b"]);
        assert_eq!(nested("==", "!="), ["(a == b) != c", "c != (a == b)"]);
        assert_eq!(nested("&&", "&&"), ["a && b && c", "c && (a && b)"]);
    }

    #[test]
    fn parentheses_stand_where_compilers_ask_for_them() {
        assert_eq!(nested("+", "<<"), ["(a + b) << c", "c << (a + b)"]);
        assert_eq!(nested("<<", "+"), ["(a << b) + c", "c + (a << b)"]);
        assert_eq!(nested("&", "|"), ["(a & b) | c", "c | (a & b)"]);
        assert_eq!(nested("|", "|"), ["(a | b) | c", "c | (a | b)"]);
        assert_eq!(nested("&", "=="), ["(a & b) == c", "c == (a & b)"]);
        assert_eq!(nested("&&", "||"), ["(a && b) || c", "c || (a && b)"]);
        assert_eq!(nested("||", "&&"), ["(a || b) && c", "c && (a || b)"]);
    }

    #[test]
    fn conversions_there_and_back_vanish() {
        let a = Text::atom("a");
        assert_eq!(a.clone().int().uint(), a);
        assert_eq!(a.uint().text, "uint(a)");
        assert_eq!(Text::atom("3").uint().text, "3u");
        assert_eq!(Text::new(Binds::Prefix, "-3").uint().text, "uint(-3)");
    }

    #[test]
    fn changes_are_told() {
        let [a, b] = ["a", "b"].map(Text::atom);
        let product = infix(&b, "*", &b);
        let change = infix(&a, "+", &product).change.unwrap();
        assert_eq!(*change, ("a".to_string(), "+= b * b".to_string()));
        assert_eq!(infix(&a, "<", &b).change, None);
        assert_eq!(infix(&a, "+", &b).int().change, None);
    }
}
