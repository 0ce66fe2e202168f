//! Printed programs, compiled, that can be launched.

use std::{
    fmt,
    path::PathBuf,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tessera_tile::{
    Program,
    ir::{Access, Buffer},
    print,
};

use crate::{
    compile,
    error::{Error, io, source_line},
    load::{self, Guarded, Loaded},
    process::{Ending, Process},
    symbols,
};

/// A language that programs are printed in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum Language {
    Metal,
    Cuda,
}

impl Language {
    /// The file that a printed text lies in.
    pub(crate) fn file(self) -> &'static str {
        match self {
            Self::Metal => "kernels.metal",
            Self::Cuda => "kernels.cu",
        }
    }

    /// Programs in this language, with what must precede them.
    pub fn print(self, programs: &[Program]) -> String {
        let (prelude, one): (_, fn(&Program) -> String) = match self {
            Self::Metal => (print::metal_prelude(), print::metal),
            Self::Cuda => (print::cuda_prelude(), print::cuda),
        };
        let kernels: Vec<_> = programs.iter().map(one).collect();
        format!("{prelude}\n{}", kernels.join("\n"))
    }

    /// Whether a printed text is well typed, by the lints and the compiler. Nothing is run.
    pub fn check(self, text: &str, programs: &[Program]) -> Result<(), Error> {
        compile::check(self, text, programs)
    }
}

impl fmt::Display for Language {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Metal => "Metal",
            Self::Cuda => "CUDA",
        })
    }
}

/// What watches the kernels run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Sanitizer {
    /// Nothing but the runtime. The kernels run in this process.
    None,
    /// Accesses outside of buffers and shared arrays, misaligned vectors, shifts too wide, division by zero.
    Address,
    /// Threads of a threadgroup at one place with no barrier between; up to [`Sanitizer::MAX_RACING`] threads.
    Thread,
}

impl Sanitizer {
    /// Threads among which the thread sanitizer sees races. Of more it has been seen to miss some.
    pub const MAX_RACING: u32 = 256;
}

/// In which order threadgroups and the threads of each take turns. Nothing may depend on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Order {
    /// From the first to the last.
    Forward,
    /// From the last to the first.
    Backward,
}

/// Printed programs that can be launched.
pub struct Library {
    language: Language,
    programs: Vec<Program>,
    text: String,
    runner: Runner,
    limit: Duration,
    /// What the compiler made.
    built: PathBuf,
    /// Where the compiled files are; gone with the library.
    _folder: tempfile::TempDir,
}

/// What is launched.
pub(crate) struct Request<'a> {
    /// Index in the library's table.
    pub kernel: u32,
    /// Threadgroups.
    pub grid: [u32; 3],
    /// Whether the last comes first.
    pub backward: bool,
    /// How long it may take.
    pub limit: Duration,
    /// Words of the argument struct.
    pub words: &'a [u32],
}

enum Runner {
    Loaded(Mutex<Loaded>),
    Process(Process),
}

impl Library {
    /// Prints programs as Metal and compiles them.
    pub fn metal(programs: &[Program]) -> Result<Self, Error> {
        Self::build(Language::Metal, programs, Sanitizer::None)
    }

    /// Prints programs as CUDA and compiles them.
    pub fn cuda(programs: &[Program]) -> Result<Self, Error> {
        Self::build(Language::Cuda, programs, Sanitizer::None)
    }

    /// Prints programs and compiles them to run under a sanitizer.
    pub fn build(
        language: Language,
        programs: &[Program],
        sanitizer: Sanitizer,
    ) -> Result<Self, Error> {
        Self::from_text(language, language.print(programs), programs, sanitizer)
    }

    /// Compiles a text that has the kernels of `programs`, with their signatures.
    pub fn from_text(
        language: Language,
        text: String,
        programs: &[Program],
        sanitizer: Sanitizer,
    ) -> Result<Self, Error> {
        let limit = Sanitizer::MAX_RACING;
        if sanitizer == Sanitizer::Thread
            && let Some(p) = programs.iter().find(|p| p.threads > limit)
        {
            return Err(Error::Threads { kernel: p.name.clone(), threads: p.threads, limit });
        }
        let folder = compile::folder()?;
        let built = compile::build(folder.path(), language, &text, programs, sanitizer)?;
        let runner = match sanitizer {
            Sanitizer::None => Runner::Loaded(Mutex::new(Loaded::new(&built)?)),
            _ => Runner::Process(Process { language, program: built.clone(), sanitizer }),
        };
        let programs = programs.to_vec();
        let limit = Self::LIMIT;
        Ok(Self { language, programs, text, runner, limit, built, _folder: folder })
    }

    /// How long a launch may take at first.
    pub const LIMIT: Duration = Duration::from_secs(60);

    /// The same, where a launch may take so long.
    pub fn with_limit(self, limit: Duration) -> Self {
        Self { limit, ..self }
    }

    /// The printed text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Runs a kernel on `grid` threadgroups, with the words of its argument struct and its buffers' bytes.
    ///
    /// Launches of one library run one after another. On an error the buffers may hold anything.
    pub fn launch(
        &self,
        kernel: &str,
        grid: [u32; 3],
        args: &[u32],
        buffers: &mut [&mut [u8]],
    ) -> Result<(), Error> {
        self.launch_ordered(Order::Forward, kernel, grid, args, buffers)
    }

    /// As [`launch`](Self::launch), the threads in a given order.
    pub fn launch_ordered(
        &self,
        order: Order,
        kernel: &str,
        grid: [u32; 3],
        args: &[u32],
        buffers: &mut [&mut [u8]],
    ) -> Result<(), Error> {
        let index = self.find(kernel)?;
        let program = &self.programs[index];
        fits(program, "buffers", program.buffers.len(), buffers.len())?;
        fits(program, "words of arguments", program.fields.len(), args.len())?;
        let (kernel, backward) = (index as u32, order == Order::Backward);
        let request = Request { kernel, grid, backward, limit: self.limit, words: args };
        match &self.runner {
            Runner::Loaded(loaded) => {
                let mut loaded = loaded.lock().unwrap_or_else(PoisonError::into_inner);
                let copies: Result<Vec<_>, _> = buffers.iter().map(|b| Guarded::new(b)).collect();
                let copies = copies.map_err(io("memory for buffers"))?;
                let done = loaded.launch(&request, &copies);
                done.map_err(|(ending, report)| self.failure(program, ending, &report))?;
                for (buffer, copy) in program.buffers.iter().zip(&copies) {
                    outside(program, buffer, copy)?;
                }
                for ((to, copy), buffer) in buffers.iter_mut().zip(&copies).zip(&program.buffers) {
                    if buffer.access != Access::Read {
                        to.copy_from_slice(copy.bytes());
                    }
                }
                Ok(())
            }
            Runner::Process(process) => match process.launch(&self.text, &request, buffers)? {
                Ending::Well => Ok(()),
                Ending::Failed(report) => {
                    Err(self.failure(program, load::Ending::Divergent, &report))
                }
                Ending::TooLong => Err(self.too_long(program)),
                Ending::Found(finding) => {
                    Err(Error::Found { kernel: program.name.clone(), finding })
                }
            },
        }
    }

    fn find(&self, kernel: &str) -> Result<usize, Error> {
        self.programs.iter().position(|p| p.name == kernel).ok_or_else(|| Error::Unknown {
            kernel: kernel.to_owned(),
            known: self.programs.iter().map(|p| p.name.clone()).collect(),
        })
    }

    /// The runtime's report, "x y z place other why", as an error.
    fn failure(&self, program: &Program, ending: load::Ending, report: &str) -> Error {
        let mut parts = report.splitn(6, ' ');
        let mut number = || parts.next().and_then(|part| u64::from_str_radix(part, 16).ok());
        let group = [number(), number(), number()].map(|n| n.unwrap_or(0) as u32);
        let places = [number(), number()].map(|n| n.unwrap_or(0));
        let what = parts.next().unwrap_or(report).to_owned();
        let lines = places.into_iter().filter(|&place| place != 0).filter_map(|place| {
            let line = symbols::line(&self.built, place, self.language.file())?;
            Some((line, source_line(&self.text, line)))
        });
        let (kernel, lines) = (program.name.clone(), lines.collect());
        match ending {
            load::Ending::Divergent => Error::Divergent { kernel, group, what, lines },
            load::Ending::NobodysMemory => {
                let what = format!("{what} reads or writes where no memory is");
                Error::Fault { kernel, group, what, lines }
            }
            load::Ending::OutsideArray => {
                let what = format!("{what} is outside of a shared array");
                Error::Fault { kernel, group, what, lines }
            }
            load::Ending::Division => {
                let what = format!("{what} divides by zero");
                Error::Fault { kernel, group, what, lines }
            }
            load::Ending::TooLong => self.too_long(program),
        }
    }

    fn too_long(&self, program: &Program) -> Error {
        Error::TooLong { kernel: program.name.clone(), seconds: self.limit.as_secs_f64() }
    }
}

/// Whether something was written beside a buffer.
fn outside(program: &Program, buffer: &Buffer, copy: &Guarded) -> Result<(), Error> {
    let (kernel, buffer, bytes) = (program.name.clone(), buffer.name, copy.bytes().len());
    match copy.written_outside() {
        Some(byte) => Err(Error::Outside { kernel, buffer, byte, bytes }),
        None => Ok(()),
    }
}

fn fits(program: &Program, what: &'static str, expected: usize, given: usize) -> Result<(), Error> {
    if expected == given {
        return Ok(());
    }
    Err(Error::Mismatch { kernel: program.name.clone(), what, expected, given })
}

#[cfg(test)]
pub(crate) mod tests {
    use tessera_tile::{
        Program,
        ir::{Access, Buffer, Elem},
    };

    /// A program that does nothing.
    pub(crate) fn empty(name: &str, buffers: usize) -> Program {
        let names = ["a", "b", "c", "d"];
        let buffer = |name| Buffer { name, elem: Elem::F32, access: Access::Write };
        Program {
            name: name.to_owned(),
            threads: 32,
            buffers: names[..buffers].iter().map(|name| buffer(name)).collect(),
            fields: Vec::new(),
            shared: Vec::new(),
            regs: Vec::new(),
            tiles: Vec::new(),
            body: Vec::new(),
        }
    }
}
