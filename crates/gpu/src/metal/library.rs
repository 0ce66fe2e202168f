//! Kernels' text, compiled to Apple's intermediate code.

use objc2::{rc::Retained, runtime::ProtocolObject, sel};
use objc2_foundation::{NSError, NSObjectProtocol};
use objc2_metal::{MTLCompileOptions, MTLDevice, MTLLanguageVersion, MTLLibrary, MTLMathMode};
use tessera_tile::{Program, print};

use super::{explain, ns};
use crate::device::DeviceError;

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

pub(super) fn compile(
    device: &ProtocolObject<dyn MTLDevice>,
    text: &str,
) -> Result<Retained<ProtocolObject<dyn MTLLibrary>>, Retained<NSError>> {
    device.newLibraryWithSource_options_error(&ns(text), Some(&options()))
}

/// Which kernel is to blame for `error` of the whole text: the first that does not compile by itself.
pub(super) fn blame(
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
