//! What fuzz targets share.

use std::{
    cell::RefCell,
    env,
    panic::{AssertUnwindSafe, catch_unwind, set_hook},
    process::abort,
};

thread_local! {
    static LAST: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Replaces libfuzzer-sys's panic hook, which ends the process at once: panics of the `tokenizers` crate are
/// caught where it is called and are no finding. What is not caught, [`checked`] reports. Since hostile files
/// make hundreds of panics a second, those caught are printed only where `FUZZ_SHOW_PANICS` is set.
pub fn let_panics_be_caught() {
    let show = env::var_os("FUZZ_SHOW_PANICS").is_some();
    set_hook(Box::new(move |panic| {
        if show {
            eprintln!("{panic}");
        }
        LAST.set(panic.to_string());
    }));
}

/// Runs one input; a panic that comes out of `f` is a finding.
pub fn checked(f: impl FnOnce()) {
    if catch_unwind(AssertUnwindSafe(f)).is_err() {
        eprintln!("{}", LAST.take());
        abort();
    }
}
