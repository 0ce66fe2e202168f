//! How much memory the machine has to give.

use std::fs;

/// Taken when the machine does not say: what the smallest machines that run models have.
const UNKNOWN: usize = 4 << 30;

/// Bytes that can be allocated now without pushing others out, as far as the system tells: the kernel's
/// estimate and the control group's limit on Linux, the installed memory elsewhere.
pub(crate) fn available() -> usize {
    let system = fs::read_to_string("/proc/meminfo").ok().and_then(|text| meminfo(&text));
    let system = system.or_else(installed).unwrap_or(UNKNOWN);
    system.min(group_limit().unwrap_or(usize::MAX))
}

/// `MemAvailable` of `/proc/meminfo`, in bytes.
fn meminfo(text: &str) -> Option<usize> {
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kib: usize = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

/// What the control group (a container) still allows, in bytes.
fn group_limit() -> Option<usize> {
    let read = |name: &str| -> Option<usize> {
        fs::read_to_string(format!("/sys/fs/cgroup/{name}")).ok()?.trim().parse().ok()
    };
    let (limit, used) = match read("memory.max") {
        Some(limit) => (limit, read("memory.current")?),
        None => (read("memory/memory.limit_in_bytes")?, read("memory/memory.usage_in_bytes")?),
    };
    Some(limit.saturating_sub(used))
}

/// Installed bytes where there is no `/proc`, as macOS and the BSDs tell them.
fn installed() -> Option<usize> {
    let output = std::process::Command::new("sysctl").args(["-n", "hw.memsize"]).output().ok()?;
    String::from_utf8(output.stdout).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn meminfo_is_read_in_bytes() {
        let text = "MemTotal:       24000000 kB\nMemAvailable:   20000000 kB\n";
        assert_eq!(meminfo(text), Some(20_000_000 * 1024));
        assert_eq!(meminfo("MemAvailable: lots"), None);
        assert_eq!(meminfo(""), None);
    }

    #[test]
    fn this_machine_has_memory() {
        assert!(available() > 16 << 20);
    }
}
