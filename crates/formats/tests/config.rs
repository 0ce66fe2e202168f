//! Configuration getters.

use serde_json::json;
use tessera_formats::{Config, Error};

fn config() -> Config {
    let json = br#"{
        "heads": 8, "whole": 8.0, "half": 0.5, "none": null, "huge": 1e300, "negative": -1,
        "big": 18446744073709551616, "limit": [0.0, Infinity], "tied": true, "name": "llama",
        "eos": 2, "stops": [2, 3], "types": ["full", "sliding"], "factors": [1, 2.5],
        "rope": {"type": "yarn", "factor": "x", "deep": {"a": []}}
    }"#;
    Config::parse(json, "m/config.json").unwrap()
}

#[test]
fn values_are_typed() {
    let c = config();
    assert_eq!(c.usize("heads", 1..=64).unwrap(), 8);
    assert_eq!(c.usize("whole", 1..=64).unwrap(), 8);
    assert_eq!(c.f32("half").unwrap(), 0.5);
    assert_eq!(c.f32("heads").unwrap(), 8.0);
    assert_eq!(c.f32_in("half", 0.0..=1.0).unwrap(), 0.5);
    assert!(c.bool_or("tied", false).unwrap());
    assert!(c.bool_or("none", true).unwrap());
    assert_eq!(c.str("name").unwrap(), "llama");
    assert_eq!(c.opt_usizes("eos", 0..=9).unwrap(), Some(vec![2]));
    assert_eq!(c.opt_usizes("stops", 0..=9).unwrap(), Some(vec![2, 3]));
    assert_eq!(c.opt_strs("types").unwrap(), Some(vec!["full", "sliding"]));
    assert_eq!(c.opt_f32s("factors").unwrap(), Some(vec![1.0, 2.5]));
    assert_eq!(c.opt_interval("factors").unwrap(), Some((1.0, 2.5)));
    assert_eq!(c.opt_interval("limit").unwrap(), Some((0.0, f32::INFINITY)));
    assert_eq!(c.opt_interval("absent").unwrap(), None);
    assert_eq!(c.sub("rope").unwrap().str("type").unwrap(), "yarn");
    assert_eq!(c.opt_usize("none", 0..=1).unwrap(), None);
    assert_eq!(c.opt_f32("absent").unwrap(), None);
    assert_eq!(c.opt_str("absent").unwrap(), None);
    assert!(c.opt_sub("absent").unwrap().is_none());
    assert!(c.has("heads") && !c.has("none") && !c.has("absent"));
    assert_eq!(c.raw().len(), 15);
}

#[test]
fn errors_name_file_field_value_and_limit() {
    let c = config();
    let text = |error: Error| error.to_string();
    assert_eq!(
        text(c.usize("heads", 1..=4).unwrap_err()),
        "m/config.json: \"heads\": expected a whole number from 1 to 4, found 8"
    );
    assert_eq!(text(c.str("absent").unwrap_err()), "m/config.json: \"absent\": missing");
    assert_eq!(
        text(c.sub("rope").unwrap().f32("factor").unwrap_err()),
        "m/config.json: \"rope.factor\": expected a finite number, found \"x\""
    );
    let deep = c.sub("rope").unwrap().sub("deep").unwrap();
    assert!(text(deep.str("a").unwrap_err()).contains("\"rope.deep.a\""));
    for key in ["half", "negative", "big", "huge", "name", "stops", "tied"] {
        assert!(c.usize(key, 0..=usize::MAX).is_err(), "{key}");
    }
    assert!(c.f32("huge").is_err());
    assert!(c.f32_in("heads", 0.0..=1.0).is_err());
    assert!(text(c.opt_f32s("limit").unwrap_err()).contains("found inf"));
    assert!(c.opt_bool("heads").is_err());
    assert!(c.opt_str("heads").is_err());
    assert!(c.opt_sub("heads").is_err());
    assert!(c.opt_strs("stops").is_err());
    assert!(c.opt_usizes("stops", 0..=2).is_err());
    assert!(text(c.error("heads", "0 heads")).ends_with("\"heads\": 0 heads"));
}

#[test]
fn documents_must_be_objects() {
    for bad in ["", "[]", "1", "{\"a\":}", "{\"a\":1", "\u{feff}{}"] {
        assert!(matches!(Config::parse(bad.as_bytes(), "f"), Err(Error::Field { .. })), "{bad}");
    }
    assert!(Config::parse(&[b'{', b'"', 0xff, b'"'], "f").is_err());
    assert!(Config::parse("[".repeat(200_000).as_bytes(), "f").is_err());
    assert!(Config::parse("{\"a\":".repeat(200_000).as_bytes(), "f").is_err());
    assert!(Config::from_json(json!([]), "f").is_err());
}

#[test]
fn lists_and_messages_are_bounded() {
    let c = Config::from_json(
        json!({"long": vec![1; 70_000], "text": "\u{1b}".repeat(100_000)}),
        "config.json",
    )
    .unwrap();
    assert!(c.opt_usizes("long", 0..=1).unwrap_err().to_string().contains("the limit is 65536"));
    let text = c.usize("text", 0..=1).unwrap_err().to_string();
    assert!(text.len() < 2000 && !text.contains('\u{1b}'), "{}", text.len());
}
