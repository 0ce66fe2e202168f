//! `/set`: the generation flags, changed while chatting.

use tessera_engine::{Request, SamplingOptions};

use crate::args::{GenerationArgs, values};

/// Takes the word for "as if it had not been given".
const DEFAULT: &str = "default";

impl GenerationArgs {
    /// What the engine is told about drawing.
    pub fn sampling(&self) -> SamplingOptions {
        SamplingOptions {
            temperature: self.temperature,
            top_k: self.top_k,
            top_p: self.top_p,
            min_p: self.min_p,
            repetition_penalty: self.repetition_penalty,
            presence_penalty: self.presence_penalty,
            frequency_penalty: self.frequency_penalty,
            ..SamplingOptions::default()
        }
    }

    /// Puts these settings into a request.
    pub fn apply(&self, request: Request) -> Request {
        Request {
            sampling: self.sampling(),
            seed: self.seed,
            max_tokens: self.max_tokens,
            stop: self.stop.clone(),
            ignore_eos: self.ignore_eos,
            ..request
        }
    }

    /// Changes the setting that the flag `--name` makes.
    ///
    /// # Errors
    /// A sentence about the name or the value.
    pub fn set(&mut self, name: &str, value: &str) -> Result<(), String> {
        let name = name.trim_start_matches('-').replace('_', "-");
        let bad = |error: String| format!("{name} {error}");
        match name.as_str() {
            "temperature" => assign(&mut self.temperature, value, values::temperature),
            "top-k" => assign(&mut self.top_k, value, whole),
            "top-p" => assign(&mut self.top_p, value, values::top_p),
            "min-p" => assign(&mut self.min_p, value, values::min_p),
            "repetition-penalty" => {
                assign(&mut self.repetition_penalty, value, values::repetition_penalty)
            }
            "presence-penalty" => assign(&mut self.presence_penalty, value, values::penalty),
            "frequency-penalty" => assign(&mut self.frequency_penalty, value, values::penalty),
            "seed" => assign(&mut self.seed, value, whole),
            "max-tokens" => assign(&mut self.max_tokens, value, values::positive),
            "stop" => {
                self.stop = if value == DEFAULT { Vec::new() } else { vec![value.to_owned()] };
                Ok(())
            }
            "ignore-eos" => {
                self.ignore_eos = match value {
                    "on" | "true" | "yes" => true,
                    "off" | "false" | "no" | DEFAULT => false,
                    _ => return Err(bad("must be on or off".into())),
                };
                Ok(())
            }
            _ => return Err(format!("there is no setting {name}; /set lists them")),
        }
        .map_err(bad)
    }

    /// Every setting with its value; `defaults` are the model's own.
    pub fn listing(&self, defaults: &SamplingOptions) -> Vec<(&'static str, String)> {
        let all = self.sampling().or(defaults);
        let number = |own: bool, value: Option<String>| match (own, value) {
            (true, Some(value)) => value,
            (_, Some(value)) => format!("{value} (default)"),
            (_, None) => DEFAULT.to_owned(),
        };
        let float = |own: Option<f32>, all: Option<f32>| {
            number(own.is_some(), all.map(|it| it.to_string()))
        };
        let text = |value: Option<String>| value.unwrap_or_else(|| DEFAULT.to_owned());
        vec![
            ("temperature", float(self.temperature, all.temperature)),
            ("top-k", number(self.top_k.is_some(), all.top_k.map(|it| it.to_string()))),
            ("top-p", float(self.top_p, all.top_p)),
            ("min-p", float(self.min_p, all.min_p)),
            ("repetition-penalty", float(self.repetition_penalty, all.repetition_penalty)),
            ("presence-penalty", float(self.presence_penalty, all.presence_penalty)),
            ("frequency-penalty", float(self.frequency_penalty, all.frequency_penalty)),
            ("seed", self.seed.map_or_else(|| "random".to_owned(), |it| it.to_string())),
            ("max-tokens", text(self.max_tokens.map(|it| it.to_string()))),
            ("stop", text((!self.stop.is_empty()).then(|| format!("{:?}", self.stop)))),
            ("ignore-eos", if self.ignore_eos { "on" } else { "off" }.to_owned()),
        ]
    }
}

fn assign<T>(
    slot: &mut Option<T>,
    value: &str,
    read: impl Fn(&str) -> Result<T, String>,
) -> Result<(), String> {
    *slot = if value == DEFAULT { None } else { Some(read(value)?) };
    Ok(())
}

fn whole<T: std::str::FromStr>(text: &str) -> Result<T, String> {
    text.trim().parse().map_err(|_| "must be a whole number, 0 or more".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_listed_setting_can_be_set_and_reset() {
        let mut settings = GenerationArgs::default();
        let defaults = SamplingOptions::FALLBACK;
        for (name, before) in GenerationArgs::default().listing(&defaults) {
            let value = if name == "ignore-eos" { "on" } else { "1" };
            settings.set(name, value).expect(name);
            let changed = settings.listing(&defaults).into_iter().find(|it| it.0 == name);
            assert!(changed.is_some_and(|it| it.1 != before), "{name}");
            settings.set(name, "default").expect(name);
        }
        assert_eq!(settings, GenerationArgs::default());
    }

    #[test]
    fn mistakes_change_nothing_and_say_why() {
        let mut settings = GenerationArgs::default();
        let error = settings.set("temperature", "hot").unwrap_err();
        assert_eq!(error, "temperature must be a number from 0 to 100");
        assert!(settings.set("top-k", "-1").unwrap_err().contains("whole number"));
        assert!(settings.set("warmth", "1").unwrap_err().contains("no setting warmth"));
        assert_eq!(settings, GenerationArgs::default());
        settings.set("--top_p", "0.5").unwrap();
        assert_eq!(settings.top_p, Some(0.5));
    }
}
