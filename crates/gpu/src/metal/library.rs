//! Kernels' text, compiled to Apple's intermediate code: when the program was built, or now.

use dispatch2::DispatchData;
use objc2::{rc::Retained, runtime::ProtocolObject, sel};
use objc2_foundation::{NSError, NSObjectProtocol};
use objc2_metal::{
    MTLCompileOptions, MTLDevice, MTLFunction, MTLLanguageVersion, MTLLibrary, MTLMathMode,
};
use tessera_tile::{Program, print};

use super::{explain, ns};
use crate::device::DeviceError;

type Library = Retained<ProtocolObject<dyn MTLLibrary>>;

/// Kernels that were compiled on the machine that built the program: `cargo xtask metallib`.
#[derive(Debug, Clone, Copy)]
pub struct Embedded {
    /// Their text.
    pub text: &'static str,
    /// What Apple's compiler made of it.
    pub library: &'static [u8],
}

impl Embedded {
    /// Those of this program, if any.
    pub const OWN: Option<Self> = {
        #[cfg(embedded_kernels)]
        let own = Some(Self {
            text: include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/embedded/kernels.metal")),
            library: include_bytes!(concat!(
                env!("CARGO_MANIFEST_DIR"),
                "/embedded/kernels.metallib"
            )),
        });
        #[cfg(not(embedded_kernels))]
        let own = None;
        own
    };

    fn load(&self, device: &ProtocolObject<dyn MTLDevice>) -> Result<Library, Retained<NSError>> {
        device.newLibraryWithData_error(&DispatchData::from_bytes(self.library))
    }
}

/// Where the functions of some programs are.
pub(super) struct Libraries {
    embedded: Option<(Library, &'static str)>,
    compiled: Option<Library>,
}

impl Libraries {
    /// Compiles what is not embedded to the letter. An embedded library that this system does not take is no more than
    /// a problem that is told.
    pub(super) fn new(
        device: &ProtocolObject<dyn MTLDevice>,
        embedded: Option<Embedded>,
        programs: &[Program],
    ) -> Result<(Self, Option<String>), DeviceError> {
        let (embedded, problem) = match embedded.map(|own| (own.load(device), own.text)) {
            None => (None, None),
            Some((Ok(library), text)) => (Some((library, text)), None),
            Some((Err(error), _)) => (None, Some(explain(&error))),
        };
        let mut libraries = Self { embedded, compiled: None };
        let missing: Vec<Program> =
            programs.iter().filter(|program| !libraries.holds(program)).cloned().collect();
        if !missing.is_empty() {
            let compiled = compile(device, &text(&missing));
            libraries.compiled = Some(compiled.map_err(|error| blame(device, &missing, &error))?);
        }
        Ok((libraries, problem))
    }

    /// Whether a program is embedded.
    fn holds(&self, program: &Program) -> bool {
        self.embedded.as_ref().is_some_and(|(_, text)| text.contains(&print::metal(program)))
    }

    /// A program's function.
    pub(super) fn function(
        &self,
        program: &Program,
    ) -> Option<Retained<ProtocolObject<dyn MTLFunction>>> {
        let library = match &self.embedded {
            Some((library, _)) if self.holds(program) => library,
            _ => self.compiled.as_ref()?,
        };
        library.newFunctionWithName(&ns(&program.name))
    }
}

/// One file of all kernels.
pub(super) fn text(programs: &[Program]) -> String {
    let mut text = print::metal_prelude().to_owned();
    for program in programs {
        text.push('\n');
        text.push_str(&print::metal(program));
    }
    text
}

/// What [`print::METAL_OPTIONS`] says, as Metal wants it at run time.
fn options() -> Retained<MTLCompileOptions> {
    let options = MTLCompileOptions::new();
    options.setLanguageVersion(MTLLanguageVersion::Version3_0);
    if options.respondsToSelector(sel!(setMathMode:)) {
        options.setMathMode(MTLMathMode::Safe);
    } else {
        // before macOS 15
        #[allow(deprecated)]
        options.setFastMathEnabled(false);
    }
    options
}

fn compile(
    device: &ProtocolObject<dyn MTLDevice>,
    text: &str,
) -> Result<Library, Retained<NSError>> {
    device.newLibraryWithSource_options_error(&ns(text), Some(&options()))
}

/// Which kernel is to blame for `error` of the whole text: the first that does not compile by itself.
fn blame(
    device: &ProtocolObject<dyn MTLDevice>,
    programs: &[Program],
    error: &NSError,
) -> DeviceError {
    let alone = programs.iter().find_map(|program| {
        let error = compile(device, &text(std::slice::from_ref(program))).err()?;
        Some((program.name.clone(), explain(&error)))
    });
    let (kernel, why) = alone.unwrap_or_else(|| ("(all together)".into(), explain(error)));
    DeviceError::Build { kernel, why }
}
