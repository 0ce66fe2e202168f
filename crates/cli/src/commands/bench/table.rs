//! The table that people paste: llama-bench's columns and widths.

use super::{Limit, Row};

/// Columns with their widths; those of numbers are aligned to the right.
const COLUMNS: [(&str, usize, bool); 7] = [
    ("model", 30, false),
    ("size", 10, true),
    ("params", 10, true),
    ("backend", 10, false),
    ("threads", 7, true),
    ("test", 15, true),
    ("t/s", 20, true),
];

/// The two lines above the rows.
pub fn header() -> String {
    let rule = |width: usize, right: bool| match right {
        true => format!("{}:", "-".repeat(width - 1)),
        false => "-".repeat(width),
    };
    let names = COLUMNS.map(|(name, ..)| name.to_owned());
    let rules = COLUMNS.map(|(_, width, right)| rule(width, right));
    format!("{}{}", join(&names), join(&rules))
}

/// One test.
pub fn line(row: &Row) -> String {
    join(&[
        row.model_type.clone(),
        size(row.model_size),
        parameters(row.model_n_params),
        row.backend.to_uppercase(),
        row.n_threads.to_string(),
        test(row.n_prompt, row.n_gen, row.n_depth, row.n_streams),
        format!("{:.2} ± {:.2}", row.avg_ts, row.stddev_ts),
    ])
}

/// What the machine could do.
pub fn limit(limit: &Limit) -> String {
    let unit = if limit.limit == "read" { "GB/s" } else { "GOP/s" };
    format!("{} threads, {}: {:.1} {unit}\n", limit.n_threads, limit.limit, limit.value)
}

fn join(cells: &[String; 7]) -> String {
    let mut text = String::from("|");
    for (cell, (_, width, right)) in cells.iter().zip(COLUMNS) {
        text += &match right {
            true => format!(" {cell:>width$} |"),
            false => format!(" {cell:<width$} |"),
        };
    }
    text + "\n"
}

/// `pp512`, `tg128 @ d1024`, `tg128 x 4` for four streams.
pub fn test(prompt: usize, generate: usize, depth: usize, streams: usize) -> String {
    let mut text = match (prompt, generate) {
        (prompt, 0) => format!("pp{prompt}"),
        (0, generate) => format!("tg{generate}"),
        (prompt, generate) => format!("pp{prompt}+tg{generate}"),
    };
    if streams > 1 {
        text += &format!(" x {streams}");
    }
    if depth > 0 {
        text += &format!(" @ d{depth}");
    }
    text
}

fn size(bytes: u64) -> String {
    match bytes as f64 / f64::from(1 << 30) {
        gib @ 1.0.. => format!("{gib:.2} GiB"),
        gib => format!("{:.2} MiB", gib * 1024.0),
    }
}

fn parameters(count: u64) -> String {
    match count as f64 {
        n @ 1e9.. => format!("{:.2} B", n / 1e9),
        n => format!("{:.2} M", n / 1e6),
    }
}

/// A model's size as its name says it: `135M`, `1.2B`.
pub fn rough(parameters: usize) -> String {
    match parameters as f64 {
        n @ 9.95e9.. => format!("{:.0}B", n / 1e9),
        n @ 9.995e8.. => format!("{:.1}B", n / 1e9),
        n @ 1e6.. => format!("{:.0}M", n / 1e6),
        n => format!("{:.0}K", n / 1e3),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Row {
        Row {
            build_version: "0",
            model: "smollm2".into(),
            model_type: "llama 135M Q4_1".into(),
            model_size: 96_500_000,
            model_n_params: 134_515_008,
            backend: "cpu".into(),
            isa: "avx2".into(),
            precise: false,
            type_k: "f16",
            type_v: "f16",
            n_threads: 2,
            n_prompt: 512,
            n_gen: 0,
            n_depth: 1024,
            n_streams: 1,
            test_time: 0,
            avg_ts: 1234.567,
            stddev_ts: 8.9,
            samples_ts: vec![1234.567],
            samples_ns: vec![1],
        }
    }

    #[test]
    fn the_layout_is_the_known_one() {
        let expected = "\
| model                          |       size |     params | backend    | threads |            test |                  t/s |
| ------------------------------ | ---------: | ---------: | ---------- | ------: | --------------: | -------------------: |
| llama 135M Q4_1                |  92.03 MiB |   134.52 M | CPU        |       2 |   pp512 @ d1024 |       1234.57 ± 8.90 |
";
        assert_eq!(format!("{}{}", header(), line(&sample())), expected);
    }

    #[test]
    fn programs_find_the_fields_they_know() {
        let value = serde_json::to_value(sample()).unwrap();
        for field in [
            "model",
            "model_size",
            "model_n_params",
            "n_prompt",
            "n_gen",
            "n_depth",
            "n_threads",
            "avg_ts",
            "stddev_ts",
            "samples_ts",
        ] {
            assert!(value.get(field).is_some(), "{field}");
        }
    }

    #[test]
    fn names_of_sizes_and_tests() {
        assert_eq!(rough(134_515_008), "135M");
        assert_eq!(rough(999_900_000), "1.0B");
        assert_eq!(rough(7_240_000_000), "7.2B");
        assert_eq!(rough(32_500_000_000), "32B");
        assert_eq!(test(0, 128, 0, 4), "tg128 x 4");
        assert_eq!(test(512, 128, 64, 1), "pp512+tg128 @ d64");
    }
}
