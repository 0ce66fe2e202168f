//! Text from standard input.

use std::io::{self, IsTerminal, Read};

use anyhow::{Context, Result, anyhow};

/// Longest text read, in bytes: a mistyped device file should not fill the memory.
const LONGEST: u64 = 256 << 20;

/// Whether something is piped in.
pub fn is_piped() -> bool {
    !io::stdin().is_terminal()
}

/// All of standard input as text.
///
/// # Errors
/// When it cannot be read, is too long or is not UTF-8.
pub fn read() -> Result<String> {
    text(io::stdin().lock(), "standard input")
}

/// A text file.
///
/// # Errors
/// As [`read`].
pub fn file(path: &std::path::Path) -> Result<String> {
    let name = path.display().to_string();
    let file = std::fs::File::open(path).with_context(|| format!("cannot open {name}"))?;
    text(file, &name)
}

fn text(source: impl Read, name: &str) -> Result<String> {
    let mut bytes = Vec::new();
    source
        .take(LONGEST + 1)
        .read_to_end(&mut bytes)
        .with_context(|| format!("cannot read {name}"))?;
    if bytes.len() as u64 > LONGEST {
        return Err(anyhow!("{name} holds more than {LONGEST} bytes"));
    }
    String::from_utf8(bytes).map_err(|error| {
        anyhow!("{name} is not UTF-8 text: byte {} cannot be", error.utf8_error().valid_up_to())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_text_is_text() {
        assert_eq!(text(&b"\xc3\xa4"[..], "x").unwrap(), "ä");
        let error = text(&b"ab\xff"[..], "x").unwrap_err();
        assert_eq!(error.to_string(), "x is not UTF-8 text: byte 2 cannot be");
    }
}
