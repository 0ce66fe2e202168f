//! Numbers as people read them.

use std::time::Duration;

/// Bytes in binary units with three significant figures: `93.8 MiB`.
pub fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut value = bytes as f64 / 1024.0;
    let mut unit = 0;
    while value >= 999.5 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    let decimals = if value < 9.995 { 2 } else { usize::from(value < 99.95) };
    format!("{value:.decimals$} {}", UNITS[unit])
}

/// A count in decimal units: `134.52 M`.
pub fn count(count: u64) -> String {
    let value = count as f64;
    match value {
        1e12.. => format!("{:.2} T", value / 1e12),
        1e9.. => format!("{:.2} B", value / 1e9),
        1e6.. => format!("{:.2} M", value / 1e6),
        1e3.. => format!("{:.2} K", value / 1e3),
        _ => count.to_string(),
    }
}

/// A duration with three significant figures: `12.3 ms`, `1.25 s`, `2 min 05 s`.
pub fn time(time: Duration) -> String {
    let seconds = time.as_secs_f64();
    match seconds {
        60.0.. => format!("{} min {:02} s", time.as_secs() / 60, time.as_secs() % 60),
        10.0.. => format!("{seconds:.1} s"),
        1.0.. => format!("{seconds:.2} s"),
        0.01.. => format!("{:.1} ms", seconds * 1e3),
        _ => format!("{:.2} ms", seconds * 1e3),
    }
}

/// `1 token`, `2 tokens`, `1,024 tokens`.
pub fn plural(number: usize, noun: &str) -> String {
    format!("{} {noun}{}", thousands(number as u64), if number == 1 { "" } else { "s" })
}

/// A number with thousands separated by commas: `49,152`.
pub fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3 + 1);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        for (value, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.00 KiB"),
            (98_362_432, "93.8 MiB"),
            (1023 << 10, "1.00 MiB"),
            (16 << 30, "16.0 GiB"),
        ] {
            assert_eq!(bytes(value), text);
        }
    }

    #[test]
    fn counts_times_and_separators() {
        assert_eq!(count(134_515_008), "134.52 M");
        assert_eq!(count(7), "7");
        assert_eq!(time(Duration::from_micros(1234)), "1.23 ms");
        assert_eq!(time(Duration::from_millis(1250)), "1.25 s");
        assert_eq!(time(Duration::from_secs(125)), "2 min 05 s");
        assert_eq!(plural(1, "token"), "1 token");
        assert_eq!(plural(1024, "token"), "1,024 tokens");
        assert_eq!(thousands(0), "0");
        assert_eq!(thousands(49_152), "49,152");
        assert_eq!(thousands(1_234_567), "1,234,567");
    }
}
