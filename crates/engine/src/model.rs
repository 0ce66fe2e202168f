//! A loaded model.

use std::{
    collections::HashSet,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use tessera_graph::Sampling;
use tessera_text::{ChatTemplate, Tokenizer};

use crate::{
    BenchCase, BenchReport, GenerateError, Generation, Inspection, Lifecycle, LifecycleStream,
    LoadError, LoadOptions, Loading, ModelInfo, Parts, Pending, Preview, Request, Resolved, Score,
    Session, Status,
    backend::Places,
    bench::bench,
    command::{Command, Commands},
    inspect::InspectSink,
    load::load,
    parts::{compile, start},
    prepare,
    preview::preview,
    queue::{Reader, queue},
    runner::Runner,
    scheduler::Watch,
    score::ScoreSink,
    text::Text,
    work::{Cancel, SessionId, Sink, Work},
};

/// A loaded model. Clones are the same model; it is unloaded when the last clone, session and running
/// generation are gone, or by [`unload`](Self::unload).
///
/// All methods may be called from any thread. Those that take time return at once, with something to
/// await or to wait for.
#[derive(Clone)]
pub struct Model(Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) commands: Commands,
    pub(crate) watch: Arc<Watch>,
    pub(crate) text: Text,
    pub(crate) info: ModelInfo,
    /// Token ids are below this.
    pub(crate) token_ids: usize,
    sessions: AtomicU64,
}

impl Model {
    /// Loads a model by Hub id, path or short name; await the result, or
    /// [`wait`](Loading::wait) for it.
    pub fn load(name: impl Into<String>, options: LoadOptions) -> Loading {
        let name = name.into();
        Loading::spawn(name.clone(), &options.clone(), move |watch, cancel| {
            load(&name, &options, watch, cancel)
        })
    }

    /// Loads a model that was made in memory.
    pub fn from_parts(parts: Parts, options: LoadOptions) -> Loading {
        Loading::spawn(parts.name.clone(), &options.clone(), move |watch, cancel| {
            let begun = Instant::now();
            options.check()?;
            let (mut parts, mut places) = (parts, Places::of(&options));
            let mut place = places.first()?;
            loop {
                // kept as long as they may be needed again
                let weights = match places.more() {
                    true => parts.weights.clone(),
                    false => std::mem::take(&mut parts.weights),
                };
                match compile(&parts, weights, &options, &place, watch, cancel) {
                    Ok(compiled) => {
                        return start(parts, compiled, &options, place, watch, begun);
                    }
                    Err(error) => place = places.after(error)?,
                }
            }
        })
    }

    /// Tells what a model that is on this machine would be, and what it would need of the memory, without
    /// loading it.
    pub fn preview(found: &Resolved, options: &LoadOptions) -> Result<Preview, LoadError> {
        preview(found, options)
    }

    pub(crate) fn new(
        commands: Commands,
        watch: Arc<Watch>,
        text: Text,
        info: ModelInfo,
        token_ids: usize,
    ) -> Self {
        let sessions = AtomicU64::new(0);
        Self(Arc::new(Inner { commands, watch, text, info, token_ids, sessions }))
    }

    /// Answers a request. What is wrong with it is the first item of the stream.
    ///
    /// The prompt is rendered and tokenised before this returns: microseconds for a question, seconds
    /// for ten megabytes.
    pub fn generate(&self, request: Request) -> Generation {
        let commands = self.0.commands.clone();
        match prepare::prepare(&self.0, request) {
            Ok((work, events)) => {
                let cancel = work.cancel.clone();
                self.submit(work);
                Generation::new(events, cancel, commands)
            }
            Err(error) => Generation::failed(error, commands),
        }
    }

    /// Opens a conversation that does not compute its history again.
    pub fn session(&self) -> Session {
        let id = self.0.sessions.fetch_add(1, Ordering::Relaxed);
        Session::new(SessionId(id), self.0.commands.clone())
    }

    /// How likely `tokens` are: log probabilities of all tokens from index `from` (at least 1) on, each
    /// given all before it. With windows that overlap, `from` leaves out what an earlier window
    /// scored. See [`LoadOptions::output_rows`].
    pub fn score(&self, tokens: Vec<u32>, from: usize) -> Pending<Score> {
        let (answer, reader) = queue(1);
        let logprobs = Vec::with_capacity(tokens.len());
        let sink = Box::new(ScoreSink { tokens: tokens.clone(), logprobs, answer });
        self.rows(tokens, from.saturating_sub(1), 0, Sampling::default(), sink, reader)
    }

    /// The `top` largest logits after each of `tokens`, and the greedy continuation: up to
    /// `continuation` tokens, until a stop token or the end of the context.
    pub fn inspect_logits(
        &self,
        tokens: Vec<u32>,
        top: usize,
        continuation: usize,
    ) -> Pending<Inspection> {
        let (answer, reader) = queue(1);
        let stops: HashSet<u32> = self.0.info.stop_tokens.iter().copied().collect();
        let found = Inspection { positions: Vec::new(), continuation: Vec::new() };
        let top = top.min(self.0.info.vocabulary);
        let sink = Box::new(InspectSink { tokens: tokens.clone(), top, stops, found, answer });
        let sampling = Sampling { logprobs: true, top_logprobs: 2, ..Sampling::default() };
        self.rows(tokens, 0, continuation, sampling, sink, reader)
    }

    /// Measures speed on random tokens. It takes the model for itself: running requests pause.
    pub fn bench(&self, case: BenchCase) -> Pending<BenchReport> {
        let cancel = Cancel::default();
        let flag = cancel.clone();
        self.exclusive(cancel, move |runner| bench(runner, case, &flag))
    }

    /// Checks that every page has exactly one owner. It always has, or this program is wrong.
    pub fn check_integrity(&self) -> Pending<()> {
        self.exclusive(Cancel::default(), |runner| {
            let checked = runner.state.check_integrity();
            checked.map_err(|message| GenerateError::Integrity { message })
        })
    }

    /// Ends all requests, forgets all sessions and gives the memory back; the answer comes when that
    /// is done. Later requests fail with [`GenerateError::Unloaded`].
    pub fn unload(&self) -> Pending<()> {
        let (answer, reader) = queue(1);
        let command = Command::Unload(Box::new(move || {
            answer.push(Ok(()));
        }));
        match self.0.commands.send(command) {
            Ok(()) => Pending::new(reader, Cancel::default()),
            Err(_) => Pending::ready(Ok(())),
        }
    }

    /// Text to tokens and back.
    pub fn tokenizer(&self) -> &Tokenizer {
        &self.0.text.tokenizer
    }

    /// How conversations are written, if the model says.
    pub fn template(&self) -> Option<&ChatTemplate> {
        self.0.text.template.as_ref()
    }

    /// What the model is.
    pub fn info(&self) -> &ModelInfo {
        &self.0.info
    }

    /// How it is doing now.
    pub fn status(&self) -> Status {
        self.0.watch.status()
    }

    /// What it is doing now.
    pub fn state(&self) -> Lifecycle {
        self.0.watch.lifecycle.current()
    }

    /// What happens to it from now on, beginning with the current state.
    pub fn lifecycle(&self) -> LifecycleStream {
        self.0.watch.lifecycle.subscribe()
    }

    /// Runs `call` between two steps.
    fn exclusive<T: Send + 'static>(
        &self,
        cancel: Cancel,
        call: impl FnOnce(&mut Runner) -> Result<T, GenerateError> + Send + 'static,
    ) -> Pending<T> {
        let (answer, reader) = queue(1);
        // If nobody listens, the answer's writer is dropped and the reader learns it.
        let _ = self.0.commands.send(Command::Exclusive(Box::new(move |runner| {
            answer.push(call(runner));
        })));
        Pending::new(reader, cancel)
    }

    /// Submits work that looks at the logits of the prompt's rows from `first` on.
    fn rows<T>(
        &self,
        tokens: Vec<u32>,
        first: usize,
        max_tokens: usize,
        sampling: Sampling,
        sink: Box<dyn Sink>,
        reader: Reader<Result<T, GenerateError>>,
    ) -> Pending<T> {
        let room = usize::from(max_tokens > 0);
        if let Err(error) = prepare::check_tokens(&self.0, &tokens, room) {
            return Pending::ready(Err(error));
        }
        let context = self.0.info.context.tokens;
        let mut work = Work::new(tokens, max_tokens, context, sampling, sink);
        work.rows = true;
        work.rows_done = first.min(work.prompt - 1);
        let cancel = work.cancel.clone();
        self.submit(work);
        Pending::new(reader, cancel)
    }

    fn submit(&self, work: Work) {
        if let Err(Command::Submit(mut work)) =
            self.0.commands.send(Command::Submit(Box::new(work)))
        {
            work.fail(GenerateError::Unloaded);
        }
    }
}

impl fmt::Debug for Model {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Model({})", self.0.info.name)
    }
}
