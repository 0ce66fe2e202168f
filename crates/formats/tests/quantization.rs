//! mlx quantisation metadata.

use serde_json::{Value, json};
use tessera_formats::{Config, Error, QuantMode, Quantization, Result, TensorQuant};

fn read(config: Value) -> Result<Option<Quantization>> {
    Quantization::from_config(&Config::from_json(config, "config.json")?)
}

fn silent() -> Quantization {
    Quantization::default()
}

fn affine(bits: u8, group_size: usize) -> TensorQuant {
    TensorQuant { bits, group_size, mode: QuantMode::Affine }
}

/// Shapes of a weight and its scales as mlx packs `[rows, cols]`.
fn shapes(quant: TensorQuant, rows: usize, cols: usize) -> ([usize; 2], [usize; 2]) {
    ([rows, cols * usize::from(quant.bits) / 32], [rows, cols / quant.group_size])
}

#[test]
fn the_configuration_decides() {
    let quantization = read(json!({"quantization": {
        "group_size": 64, "bits": 4, "mode": "affine",
        "model.embed": {"group_size": 32, "bits": 8},
        "model.head": {"mode": "mxfp4"},
        "model.same": true,
        "model.gate": false,
    }}));
    let quantization = quantization.unwrap().unwrap();
    let of = |module, quant: TensorQuant| {
        let (weight, scales) = shapes(quant, 6, 256);
        let biases = quant.mode == QuantMode::Affine;
        quantization.for_tensor(module, &weight, Some(&scales), biases, Some(256))
    };
    assert_eq!(of("model.any", affine(4, 64)).unwrap(), Some(affine(4, 64)));
    assert_eq!(of("model.same", affine(4, 64)).unwrap(), Some(affine(4, 64)));
    assert_eq!(of("model.embed", affine(8, 32)).unwrap(), Some(affine(8, 32)));
    let mxfp4 = TensorQuant { bits: 4, group_size: 32, mode: QuantMode::Mxfp4 };
    assert_eq!(of("model.head", mxfp4).unwrap(), Some(mxfp4));
    // What the shapes show is not what the configuration says of the module, or of the mode.
    assert!(of("model.any", mxfp4).is_err());
    assert!(of("model.embed", affine(4, 64)).is_err());
    assert!(of("model.same", affine(8, 64)).is_err());
    assert!(of("model.gate", affine(4, 64)).is_err());
}

#[test]
fn shapes_overrule_the_default_where_the_width_is_known() {
    let quantization = read(json!({"quantization": {"group_size": 64, "bits": 4}}));
    let quantization = quantization.unwrap().unwrap();
    for bits in [2, 3, 4, 5, 6, 8] {
        for group_size in [32, 64, 128] {
            let quant = affine(bits, group_size);
            let (weight, scales) = shapes(quant, 5, 768);
            let with = |cols| quantization.for_tensor("m", &weight, Some(&scales), true, cols);
            assert_eq!(with(Some(768)).unwrap(), Some(quant));
            // Shapes that fit no packing of that width are still refused.
            assert!(with(Some(704)).is_err());
            // Without the width, only what does not contradict the default is accepted.
            match with(None) {
                Ok(found) => assert_eq!(found, Some(affine(4, 64))),
                Err(error) => {
                    assert!(error.to_string().contains("bits 4, group size 64"), "{error}")
                }
            }
        }
    }
    let mxfp8 = TensorQuant { bits: 8, group_size: 32, mode: QuantMode::Mxfp8 };
    let (weight, scales) = shapes(mxfp8, 3, 128);
    let found = quantization.for_tensor("m", &weight, Some(&scales), false, Some(128));
    assert_eq!(found.unwrap(), Some(mxfp8), "no mode is stated, and there are no biases");
}

#[test]
fn tensors_without_scales_are_plain_unless_named() {
    let quantization = read(json!({"quantization": {
        "group_size": 64, "bits": 4, "named": {"bits": 8, "group_size": 64}, "off": false,
    }}));
    let quantization = quantization.unwrap().unwrap();
    let of = |module| quantization.for_tensor(module, &[4, 64], None, false, None);
    assert_eq!(of("any").unwrap(), None);
    assert_eq!(of("off").unwrap(), None);
    assert!(matches!(of("named"), Err(Error::Quantization { .. })));
}

#[test]
fn silence_is_filled_from_shapes() {
    for bits in [2, 3, 4, 5, 6, 8] {
        for group_size in [32, 64, 128] {
            let quant = affine(bits, group_size);
            let (weight, scales) = shapes(quant, 5, 768);
            let with = |quantization: &Quantization, cols| {
                quantization.for_tensor("m", &weight, Some(&scales), true, cols)
            };
            // The width settles it, and so does half a configuration.
            assert_eq!(with(&silent(), Some(768)).unwrap(), Some(quant));
            let half = read(json!({"quantization": {"bits": bits}})).unwrap().unwrap();
            assert_eq!(with(&half, None).unwrap(), Some(quant));
            let half = read(json!({"quantization": {"group_size": group_size}})).unwrap().unwrap();
            assert_eq!(with(&half, None).unwrap(), Some(quant));
            // 5 bits never look like another packing; 4 x 64 looks like 2 x 128 and 8 x 32.
            if bits == 5 {
                assert_eq!(with(&silent(), None).unwrap(), Some(quant));
            }
        }
    }
    let (weight, scales) = shapes(affine(4, 64), 5, 768);
    let error = silent().for_tensor("m", &weight, Some(&scales), true, None).unwrap_err();
    assert!(error.to_string().contains("[(2, 128), (4, 64), (8, 32)]"), "{error}");
}

#[test]
fn float_modes_follow_from_shapes_without_biases() {
    for (mode, bits, group_size) in
        [(QuantMode::Mxfp4, 4, 32), (QuantMode::Nvfp4, 4, 16), (QuantMode::Mxfp8, 8, 32)]
    {
        let quant = TensorQuant { bits, group_size, mode };
        assert_eq!(mode.fixed(), Some((bits, group_size)));
        let (weight, scales) = shapes(quant, 3, 128);
        let found = silent().for_tensor("m", &weight, Some(&scales), false, None).unwrap();
        assert_eq!(found, Some(quant));
        assert!(silent().for_tensor("m", &weight, Some(&scales), false, Some(64)).is_err());
    }
}

#[test]
fn experts_keep_their_leading_dimension() {
    let found = silent().for_tensor("m", &[8, 16, 32], Some(&[8, 16, 4]), true, Some(256));
    assert_eq!(found.unwrap(), Some(affine(4, 64)));
    let rows = silent().for_tensor("m", &[8, 16, 32], Some(&[16, 8, 4]), true, Some(256));
    assert!(rows.unwrap_err().to_string().contains("differ in rows"));
}

#[test]
fn hostile_shapes_are_errors() {
    let of = |weight: &[usize], scales: &[usize], cols| {
        silent().for_tensor("m", weight, Some(scales), true, cols)
    };
    for (weight, scales) in [
        (&[][..], &[][..]),
        (&[4], &[]),
        (&[0], &[0]),
        (&[4, 0], &[4, 0]),
        (&[4, 8], &[4, 0]),
        (&[4, 0], &[4, 8]),
        (&[4, 7], &[4, 2]),
        (&[4, usize::MAX], &[4, usize::MAX]),
        (&[4, usize::MAX / 32], &[4, usize::MAX / 64]),
    ] {
        assert!(of(weight, scales, None).is_err(), "{weight:?} {scales:?}");
        assert!(of(weight, scales, Some(0)).is_err(), "{weight:?} {scales:?}");
    }
}

#[test]
fn wrong_settings_are_named() {
    for (settings, field) in [
        (json!({"bits": 7}), "quantization.bits"),
        (json!({"bits": 0}), "quantization.bits"),
        (json!({"bits": "4"}), "quantization.bits"),
        (json!({"group_size": 0}), "quantization.group_size"),
        (json!({"group_size": 1u64 << 40}), "quantization.group_size"),
        (json!({"mode": "gptq"}), "quantization.mode"),
        (json!({"a.b": {"bits": 1}}), "quantization.a.b.bits"),
    ] {
        let error = read(json!({"quantization": settings})).unwrap_err().to_string();
        assert!(error.contains(field) && error.contains("config.json"), "{error}");
    }
    assert!(read(json!({"quantization": 4})).is_err());
}

#[test]
fn the_entry_may_stand_elsewhere() {
    assert!(read(json!({})).unwrap().is_none());
    assert!(read(json!({"quantization": null, "text_config": null})).unwrap().is_none());
    for config in [
        json!({"quantization_config": {"bits": 4, "group_size": 32}}),
        json!({"text_config": {"quantization": {"bits": 4, "group_size": 32}}}),
        json!({"quantization": {"bits": 4, "group_size": 32},
               "quantization_config": {"quant_method": "gptq"}}),
    ] {
        let found = read(config).unwrap().unwrap();
        let found = found.for_tensor("m", &[2, 8], Some(&[2, 2]), true, None).unwrap();
        assert_eq!(found, Some(affine(4, 32)));
    }
    let other = read(json!({"quantization_config": {"quant_method": "gptq", "bits": 4}}));
    assert!(other.unwrap_err().to_string().contains("gptq"));
}
