//! Lines of the printed text from places in what was compiled.

use std::{path::Path, process::Command};

/// The line of `file` that the instruction at `offset` of an object was made from: the outermost, where functions of that
/// file were inlined into another. `None` if there is no tool to tell.
pub(crate) fn line(object: &Path, offset: u64, file: &str) -> Option<u32> {
    let address = format!("{offset:#x}");
    // Both print, innermost first, lines that contain `path:line`.
    let tools: [(&str, &[&str]); 3] = [
        ("addr2line", &["--inlines", "--exe"]),
        ("llvm-symbolizer-19", &["--obj"]),
        ("llvm-symbolizer", &["--obj"]),
    ];
    tools.iter().find_map(|(tool, flags)| {
        let (last, before) = flags.split_last()?;
        let object = format!("{last}={}", object.display());
        let output = Command::new(tool).args(before).arg(object).arg(&address).output().ok()?;
        mentioned(&String::from_utf8_lossy(&output.stdout), file).last().copied()
    })
}

/// Lines of `file` that a report mentions, in its order.
pub(crate) fn mentioned(report: &str, file: &str) -> Vec<u32> {
    let mark = format!("{file}:");
    let after = report.split(&mark).skip(1);
    let digits = after.map(|rest| rest.split(|c: char| !c.is_ascii_digit()).next().unwrap_or(""));
    digits.filter_map(|digits| digits.parse().ok()).collect()
}
