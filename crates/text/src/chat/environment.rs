//! The world a chat template sees: Jinja as transformers sets it up, with bounds.

use std::{error, fmt, sync::LazyLock, time::SystemTime};

use fancy_regex::Regex;
use minijinja::{
    Environment, Error, ErrorKind, State, UndefinedBehavior, Value, syntax::SyntaxConfig,
    value::Kwargs,
};

use super::{checked, json, python, time};

/// Deepest nesting of blocks, macro calls and expressions.
const DEPTH: usize = 200;

/// The message a template gave to `raise_exception`.
#[derive(Debug)]
pub(super) struct Refusal(pub String);

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl error::Error for Refusal {}

/// An environment without templates.
pub(super) fn new() -> Environment<'static> {
    let mut environment = Environment::new();
    if let Ok(syntax) = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build() {
        environment.set_syntax(syntax);
    }
    environment.set_undefined_behavior(UndefinedBehavior::Lenient);
    environment.set_recursion_limit(DEPTH);
    environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
    environment.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
    environment.set_formatter(|out, state, value| {
        out.write_str(&python::text(state, value)?).map_err(Error::from)
    });
    environment.add_function("raise_exception", |message: String| -> Result<Value, Error> {
        Err(Error::new(ErrorKind::InvalidOperation, "refused").with_source(Refusal(message)))
    });
    environment.add_filter("tojson", |state: &State<'_, '_>, value: Value, options: Kwargs| {
        json::dumps(state, &value, &options)
    });
    environment
        .add_filter("string", |state: &State<'_, '_>, value: Value| python::text(state, &value));
    checked::register(&mut environment);
    environment
}

/// Gives templates `strftime_now`, at a fixed time or by the clock.
pub(super) fn set_clock(environment: &mut Environment<'static>, now: Option<SystemTime>) {
    environment.add_function("strftime_now", move |format: String| {
        time::strftime(&format, now.unwrap_or_else(SystemTime::now)).ok_or_else(|| {
            Error::new(ErrorKind::InvalidOperation, format!("cannot format time as `{format}`"))
        })
    });
}

/// What transformers adds to Jinja, and what says the same in it: `{% generation %}` marks an answer for
/// training and changes no text. Patterns with their replacements.
static TAGS: LazyLock<Vec<(Regex, &str)>> = LazyLock::new(|| {
    let tags = [
        (r"\{%([-+]?)\s*generation\s*([-+]?)%\}", "{%$1 if true $2%}"),
        (r"\{%([-+]?)\s*endgeneration\s*([-+]?)%\}", "{%$1 endif $2%}"),
    ];
    tags.into_iter().filter_map(|(tag, instead)| Some((Regex::new(tag).ok()?, instead))).collect()
});

/// Rewrites what transformers adds to Jinja.
pub(super) fn adapt(source: &str) -> String {
    TAGS.iter().fold(source.to_owned(), |text, (tag, instead)| {
        tag.replace_all(&text, *instead).into_owned()
    })
}

/// The refusal inside an error, however deep.
pub(super) fn refusal(error: &Error) -> Option<&Refusal> {
    let mut cause: Option<&(dyn error::Error + 'static)> = Some(error);
    while let Some(current) = cause {
        if let Some(refusal) = current.downcast_ref() {
            return Some(refusal);
        }
        cause = current.source();
    }
    None
}
