//! Bars with rate and remaining time for long steps, on standard error and only on terminals.

use std::{
    collections::BTreeMap,
    fmt,
    io::{self, IsTerminal},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use tessera_engine::{Lifecycle, Stage};
use tessera_hub::Event;

use crate::{context::Context, output, style::Style, units};

const BYTES: &str = "{msg:32!} {wide_bar:.dim} {binary_bytes:>10} of {binary_total_bytes:<10} {binary_bytes_per_sec:>12} {eta:>4}";
const UNKNOWN: &str = "{msg:32!} {spinner} {binary_bytes:>10} {binary_bytes_per_sec:>12}";
const STEPS: &str = "{msg:32!} {wide_bar:.dim} {pos:>6} of {len:<6} {eta:>4} left";
const SPINNER: &str = "{spinner} {msg}";

/// Shows what a long step is doing.
pub struct Progress {
    bars: MultiProgress,
    shown: Mutex<Shown>,
    /// Whether standard error is a terminal and people want to see bars.
    visible: bool,
    quiet: bool,
    verbose: bool,
    style: Style,
}

#[derive(Default)]
struct Shown {
    /// One bar a file.
    files: BTreeMap<String, ProgressBar>,
    /// Over the bytes of weights.
    weights: Option<ProgressBar>,
    /// What is done between files.
    status: Option<ProgressBar>,
}

impl Progress {
    /// Nothing shown yet.
    pub fn new(context: &Context) -> Self {
        let visible = !context.global.quiet && io::stderr().is_terminal();
        let target =
            if visible { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        Self {
            bars: MultiProgress::with_draw_target(target),
            shown: Mutex::default(),
            visible,
            quiet: context.global.quiet,
            verbose: context.global.verbose > 0,
            style: context.note_style(),
        }
    }

    /// A bar over `total` steps.
    pub fn steps(&self, what: &str, total: u64) -> ProgressBar {
        let bar = self.bars.add(ProgressBar::new(total).with_style(style(STEPS)));
        bar.set_message(what.to_owned());
        bar
    }

    /// A bar over bytes.
    pub fn bytes(&self, what: &str, total: u64) -> ProgressBar {
        let bar = self.bars.add(ProgressBar::new(total).with_style(style(BYTES)));
        bar.set_message(what.to_owned());
        bar
    }

    /// Takes note of what a model being loaded is doing.
    pub fn life(&self, state: &Lifecycle) {
        match state {
            Lifecycle::Fetching(event) => self.hub(event.clone()),
            Lifecycle::Downloading { file, done, total, .. } => self.download(file, *done, *total),
            Lifecycle::Loading { stage: Stage::Weights, done, total } => {
                self.weights(*done, *total)
            }
            Lifecycle::Loading { stage, .. } => self.status(stage.to_string()),
            Lifecycle::Ready | Lifecycle::Failed { .. } => self.finish(),
            _ => {}
        }
    }

    fn weights(&self, done: u64, total: u64) {
        self.clear_status();
        let mut shown = self.lock();
        let bar = shown.weights.get_or_insert_with(|| self.bytes("laying out weights", total));
        bar.set_position(done);
    }

    /// Takes note of an event of the hub.
    pub fn hub(&self, event: Event) {
        match event {
            Event::Source { source } if self.verbose => self.say(&format!("looking at {source}")),
            Event::SourceFailed { source, reason } => {
                self.clear_status();
                self.say(&format!("{source} failed: {reason}; trying elsewhere"));
            }
            Event::Source { source } => self.status(format!("asking {source}")),
            Event::Waiting { file } => {
                self.status(format!("waiting for another process to fetch {file}"))
            }
            Event::Planned { files, bytes, present } => self.planned(files, bytes, present),
            Event::Downloading { file, done, total, .. } => self.download(&file, done, total),
            Event::Verifying { file } => self.status(format!("checking {file}")),
            Event::Unpacking { file } => self.status(format!("unpacking {file}")),
            Event::Ready { .. } => self.finish(),
            _ => {}
        }
    }

    fn planned(&self, files: usize, bytes: u64, present: u64) {
        if bytes > present {
            let plural = if files == 1 { "" } else { "s" };
            let here = match present {
                0 => String::new(),
                present => format!(", {} of them here", units::bytes(present)),
            };
            self.say(&format!("downloading {files} file{plural}, {}{here}", units::bytes(bytes)));
        }
    }

    fn download(&self, file: &str, done: u64, total: Option<u64>) {
        self.clear_status();
        let mut shown = self.lock();
        let bar = shown.files.entry(file.to_owned()).or_insert_with(|| {
            let bar = match total {
                Some(total) => self.bytes(file, total),
                None => self.bars.add(ProgressBar::no_length().with_style(style(UNKNOWN))),
            };
            bar.set_message(file.to_owned());
            // What an earlier run left behind did not come at this run's rate.
            bar.with_position(done).with_elapsed(Duration::ZERO)
        });
        if let Some(total) = total {
            bar.set_length(total);
        }
        bar.set_position(done);
        if total == Some(done) {
            bar.finish();
        }
    }

    /// Shows one line about what is going on, in place of the one before.
    pub fn status(&self, text: String) {
        let mut shown = self.lock();
        let bar = shown.status.get_or_insert_with(|| {
            let bar = self.bars.add(ProgressBar::new_spinner().with_style(style(SPINNER)));
            if self.visible {
                bar.enable_steady_tick(Duration::from_millis(100));
            }
            bar
        });
        bar.set_message(text);
    }

    fn clear_status(&self) {
        if let Some(bar) = self.lock().status.take() {
            bar.finish_and_clear();
        }
    }

    /// Says something that stays, above the bars.
    fn say(&self, text: &str) {
        if !self.quiet {
            self.bars.suspend(|| output::note(self.style.dim(text)));
        }
    }

    /// Takes everything away that is not to stay.
    pub fn finish(&self) {
        self.clear_status();
        if let Some(bar) = self.lock().weights.take() {
            bar.finish_and_clear();
        }
        for bar in std::mem::take(&mut self.lock().files).into_values() {
            if !bar.is_finished() {
                bar.abandon();
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Shown> {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The templates above are right (a test draws them); a wrong one would cost the looks only.
fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

impl fmt::Debug for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Progress").field("visible", &self.visible).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_templates_are_sound() {
        for template in [BYTES, UNKNOWN, STEPS, SPINNER] {
            assert!(ProgressStyle::with_template(template).is_ok(), "{template}");
        }
    }
}
