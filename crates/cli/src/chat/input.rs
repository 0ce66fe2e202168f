//! What a person types at the prompt: a message or a command.

/// Marks the beginning and end of a block of lines.
const BLOCK: &str = "\"\"\"";

/// One complete input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// Nothing but white space.
    Empty,
    /// For the model.
    Message(String),
    /// For the program.
    Command(Command),
    /// A command that does not exist, or is given wrongly; what to say.
    Mistake(String),
}

/// A command of the chat.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Lists the commands.
    Help,
    /// Shows the system prompt, replaces it (`Some`), or removes it (`Some` and empty).
    System(Option<String>),
    /// Shows all settings.
    Settings,
    /// Changes one.
    Set(String, String),
    /// Writes the conversation to a file.
    Save(String),
    /// Reads it from a file.
    Load(String),
    /// Answers the last message anew.
    Regen,
    /// Shows figures of the last answer and of the context.
    Stats,
    /// Forgets the conversation.
    Clear,
    /// Ends the program.
    Exit,
}

/// Commands as `/help` lists them.
pub const HELP: &[(&str, &str)] = &[
    ("/help", "this list"),
    ("/system [TEXT]", "show or replace the system prompt; `/system none` removes it"),
    ("/set [NAME VALUE]", "show or change a setting; `default` as value resets it"),
    ("/save FILE", "write the conversation to a file"),
    ("/load FILE", "continue a conversation from a file"),
    ("/regen", "answer the last message anew"),
    ("/stats", "timings of the last answer, context in use"),
    ("/clear", "forget the conversation"),
    ("/exit", "leave; so does Ctrl-D"),
];

/// How lines are joined; the end of `/help`.
pub const LINES: &str = "\
End a line with \\ to go on in the next, or put lines between \"\"\" and \"\"\".
Begin with // to send a message that begins with a slash. Ctrl-C stops an answer.";

/// Whether more lines belong to this input: it ends in `\`, or a block is open.
pub fn is_open(text: &str) -> bool {
    let (_, body) = head(text);
    match body.trim_start().strip_prefix(BLOCK) {
        Some(inside) => !inside.trim_end().ends_with(BLOCK),
        None => ends_in_backslash(text),
    }
}

/// An odd number of backslashes: `\\` at the end is a backslash.
fn ends_in_backslash(text: &str) -> bool {
    (text.len() - text.trim_end_matches('\\').len()) % 2 == 1
}

/// Understands one complete input.
pub fn parse(text: &str) -> Input {
    let (word, body) = head(text);
    let body = unblock(body);
    let Some(word) = word else {
        return match body.trim().is_empty() {
            true => Input::Empty,
            false => Input::Message(body),
        };
    };
    command(word, body.trim())
}

/// Takes the command word off; `//` at the beginning is an escaped slash.
fn head(text: &str) -> (Option<&str>, &str) {
    let trimmed = text.trim_start();
    if trimmed.starts_with("//") {
        return (None, &trimmed[1..]);
    }
    match trimmed.starts_with('/') {
        true => {
            let end = trimmed.find(char::is_whitespace).unwrap_or(trimmed.len());
            (Some(&trimmed[..end]), &trimmed[end..])
        }
        false => (None, text),
    }
}

/// The text inside a block, or the lines joined where they end in `\`.
fn unblock(body: &str) -> String {
    let block = body.trim().strip_prefix(BLOCK).and_then(|rest| rest.strip_suffix(BLOCK));
    if let Some(inside) = block {
        let inside = inside.strip_prefix('\n').unwrap_or(inside);
        return inside.strip_suffix('\n').unwrap_or(inside).to_owned();
    }
    let lines: Vec<&str> = body.lines().collect();
    let last = lines.len().saturating_sub(1);
    let join = |(at, line): (usize, &&str)| match at < last && ends_in_backslash(line) {
        true => line[..line.len() - 1].to_owned(),
        false => (*line).to_owned(),
    };
    lines.iter().enumerate().map(join).collect::<Vec<_>>().join("\n")
}

fn command(word: &str, rest: &str) -> Input {
    let file = |make: fn(String) -> Command| match rest {
        "" => Input::Mistake(format!("{word} needs a file name")),
        name => Input::Command(make(name.to_owned())),
    };
    let plain = |command: Command| match rest {
        "" => Input::Command(command),
        _ => Input::Mistake(format!("{word} takes nothing after it")),
    };
    match word {
        "/help" | "/?" => plain(Command::Help),
        "/system" => Input::Command(Command::System(match rest {
            "" => None,
            "none" => Some(String::new()),
            text => Some(text.to_owned()),
        })),
        "/set" => match rest.split_once(char::is_whitespace) {
            Some((name, value)) => Input::Command(Command::Set(name.into(), value.trim().into())),
            None if rest.is_empty() => Input::Command(Command::Settings),
            None => Input::Mistake(format!("/set {rest} needs a value; `default` resets it")),
        },
        "/save" => file(Command::Save),
        "/load" => file(Command::Load),
        "/regen" => plain(Command::Regen),
        "/stats" => plain(Command::Stats),
        "/clear" => plain(Command::Clear),
        "/exit" | "/quit" | "/bye" => plain(Command::Exit),
        _ => Input::Mistake(format!(
            "there is no command {word}; /help lists them, and a message that begins with a slash is \
             written with two"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(text: &str) -> Input {
        Input::Message(text.into())
    }

    #[test]
    fn messages() {
        assert_eq!(parse(" \n "), Input::Empty);
        assert_eq!(parse("hello"), message("hello"));
        assert_eq!(parse("one\\\ntwo"), message("one\ntwo"));
        assert_eq!(parse("a path \\\\\nb"), message("a path \\\\\nb"));
        assert_eq!(parse("\"\"\"\na\n b\\\n\"\"\""), message("a\n b\\"));
        assert_eq!(parse("\"\"\"one line\"\"\""), message("one line"));
        assert_eq!(parse("//usr/bin is a folder"), message("/usr/bin is a folder"));
        assert_eq!(parse("\"\"\"\n/help\n\"\"\""), message("/help"));
        assert_eq!(parse("ä\\"), message("ä\\"));
    }

    #[test]
    fn open_inputs_ask_for_more() {
        for open in ["a\\", "\"\"\"", "\"\"\"a\nb", "/system \"\"\"x", "a\\\nb\\"] {
            assert!(is_open(open), "{open:?}");
        }
        for closed in
            ["", "a", "a\\\\", "\"\"\"a\"\"\"", "/help", "a \"\"\" b", "\"\"\"\n\\\n\"\"\""]
        {
            assert!(!is_open(closed), "{closed:?}");
        }
    }

    #[test]
    fn commands() {
        let command = |text| match parse(text) {
            Input::Command(command) => command,
            other => panic!("{text}: {other:?}"),
        };
        assert_eq!(command("/help"), Command::Help);
        assert_eq!(command(" /quit "), Command::Exit);
        assert_eq!(command("/system"), Command::System(None));
        assert_eq!(command("/system none"), Command::System(Some(String::new())));
        assert_eq!(
            command("/system \"\"\"\nBe\nbrief\n\"\"\""),
            Command::System(Some("Be\nbrief".into()))
        );
        assert_eq!(command("/set"), Command::Settings);
        assert_eq!(command("/set top-k  5"), Command::Set("top-k".into(), "5".into()));
        assert_eq!(command("/set stop a b"), Command::Set("stop".into(), "a b".into()));
        assert_eq!(command("/save my file.json"), Command::Save("my file.json".into()));
    }

    #[test]
    fn mistakes_say_what_to_do() {
        for (text, part) in [
            ("/nope", "no command /nope"),
            ("/save", "needs a file name"),
            ("/set temperature", "needs a value"),
            ("/regen now", "takes nothing"),
            ("/", "no command /"),
        ] {
            match parse(text) {
                Input::Mistake(mistake) => assert!(mistake.contains(part), "{mistake}"),
                other => panic!("{text}: {other:?}"),
            }
        }
    }
}
