//! `tessera doctor`: what this machine offers, and what is missing.

mod checks;
mod reach;

use anyhow::Result;
use serde::Serialize;

use crate::{context::Context, errors::Exit, output, style::Style};

/// How a check came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Health {
    /// As it should be.
    Good,
    /// Something works less well, or not at all until it is put right.
    Warning,
    /// Models cannot run.
    Bad,
}

/// One check.
#[derive(Debug, Clone, Serialize)]
pub struct Check {
    name: &'static str,
    health: Health,
    found: String,
    /// What to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    advice: Option<String>,
}

impl Check {
    fn new(name: &'static str, health: Health, found: impl Into<String>) -> Self {
        Self { name, health, found: found.into(), advice: None }
    }

    fn advise(self, advice: impl Into<String>) -> Self {
        Self { advice: Some(advice.into()), ..self }
    }
}

/// Prints every check; the exit status is 1 if models cannot run here.
///
/// # Errors
/// When standard output cannot be written.
pub fn run(context: &Context) -> Result<Exit> {
    let checks = checks::all(context);
    match context.json() {
        true => output::json(&checks)?,
        false => output::write(render(&checks, context.style()))?,
    }
    let bad = checks.iter().any(|it| it.health == Health::Bad);
    Ok(if bad { Exit::Failure } else { Exit::Success })
}

fn render(checks: &[Check], style: Style) -> String {
    let width = checks.iter().map(|it| it.name.len()).max().unwrap_or(0);
    let mut text = String::new();
    for check in checks {
        let mark = match check.health {
            Health::Good => style.green("ok  "),
            Health::Warning => style.yellow("warn"),
            Health::Bad => style.red("bad "),
        };
        text += &format!("{mark}  {:<width$}  {}\n", check.name, check.found);
        if let Some(advice) = &check.advice {
            text += &format!("      {:<width$}  {}\n", "", style.dim(advice));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::style::Color;

    #[test]
    fn lines_say_how_it_is_and_what_to_do() {
        let checks = [
            Check::new("memory", Health::Good, "16 GiB"),
            Check::new("pip", Health::Warning, "not found").advise("install it"),
        ];
        assert_eq!(
            render(&checks, Style::stdout(Color::Never)),
            "ok    memory  16 GiB\nwarn  pip     not found\n              install it\n"
        );
    }
}
