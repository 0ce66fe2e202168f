//! A fence around foreign code that may panic on hostile files.

use std::panic::{AssertUnwindSafe, catch_unwind};

/// Runs `f`; a panic inside becomes an error text.
///
/// The `tokenizers` crate panics on some malformed files and inputs. Everything handed to `f` is
/// either discarded after a failure or immutable, so unwinding leaves nothing half-changed.
pub(crate) fn guarded<T>(f: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(f)).unwrap_or_else(|payload| {
        let text = payload.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| payload.downcast_ref::<&str>().copied());
        Err(format!("the tokenizer library panicked: {}", text.unwrap_or("no message")))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn panics_become_errors() {
        let empty: Vec<u8> = Vec::new();
        let error = guarded(|| Ok(empty[std::hint::black_box(1)])).unwrap_err();
        assert!(error.contains("panicked") && error.contains("index"), "{error}");
        assert_eq!(guarded(|| Ok(3)), Ok(3));
    }
}
