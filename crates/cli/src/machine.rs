//! What this machine has.

use std::fs;

/// The share of free memory that the engine takes at most unless told otherwise.
const SHARE: f64 = 0.8;

/// Bytes that a model may take here: the engine's default budget. `None` where the system does not say.
pub fn budget() -> Option<u64> {
    free_memory().map(|bytes| (bytes as f64 * SHARE) as u64)
}

/// Bytes of memory that are free, or could be without swapping.
pub fn free_memory() -> Option<u64> {
    let free = meminfo(&fs::read_to_string("/proc/meminfo").ok()?, "MemAvailable:")?;
    Some(free.min(container().unwrap_or(u64::MAX)))
}

/// Bytes of memory installed.
pub fn memory() -> Option<u64> {
    meminfo(&fs::read_to_string("/proc/meminfo").ok()?, "MemTotal:")
}

/// What the control group of a container leaves.
fn container() -> Option<u64> {
    let read = |name: &str| -> Option<u64> {
        fs::read_to_string(format!("/sys/fs/cgroup/{name}")).ok()?.trim().parse().ok()
    };
    Some(read("memory.max")?.saturating_sub(read("memory.current")?))
}

/// The processor's name.
pub fn processor() -> Option<String> {
    let text = fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = text.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

fn meminfo(text: &str, key: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(key))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn meminfo_is_in_kibibytes() {
        let text = "MemTotal:       24000000 kB\nMemAvailable:   20000000 kB\n";
        assert_eq!(meminfo(text, "MemAvailable:"), Some(20_000_000 * 1024));
        assert_eq!(meminfo("MemTotal: lots", "MemTotal:"), None);
    }
}
