//! mlx's packings against vectors that mlx made.

mod common;

use common::{FLOATS, Fixture, assert_same, decode};
use tessera_formats::{Dtype, QuantMode, TensorQuant};
use tessera_quant::{Float, Packing, Weight, encode};

fn float(dtype: Dtype) -> Float {
    let names = [Dtype::F32, Dtype::F16, Dtype::BF16];
    FLOATS[names.iter().position(|&d| d == dtype).expect("a float")]
}

#[test]
fn affine_is_mlx_bit_for_bit() {
    let file = Fixture::open("mlx.safetensors");
    for bits in [2u8, 3, 4, 5, 6, 8] {
        for group in [32usize, 64, 128] {
            let key = format!("affine.b{bits}.g{group}");
            let get = |part: &str| file.tensor(&format!("{key}.{part}"));
            let (words, scales, biases) = (get("weight"), get("scales"), get("biases"));
            let quant = TensorQuant { mode: QuantMode::Affine, bits, group_size: group };
            let weight = Weight::from_mlx(&words, &scales, Some(&biases), &quant).unwrap();
            assert_eq!((weight.rows, weight.cols), (4, 128));
            assert_same(&key, &decode(&weight), &file.floats(&format!("{key}.expected")));

            let scale = float(scales.dtype);
            let packing = Packing::Affine { bits, group: group as u16, scale };
            assert_eq!(weight.packing, packing);
            let source = file.floats(&format!("{key}.source"));
            let ours = encode(packing, 4, 128, &source).unwrap();
            assert_eq!(ours.codes[..], weight.codes[..], "{key}: codes");
            assert_eq!(ours.scales.unwrap()[..], scales.bytes[..], "{key}: scales");
            assert_eq!(ours.biases.unwrap()[..], biases.bytes[..], "{key}: biases");
        }
    }
}

#[test]
fn microscaling_is_mlx_bit_for_bit() {
    let file = Fixture::open("mlx.safetensors");
    let modes = [
        ("mxfp4", QuantMode::Mxfp4, 4, 32, Packing::Mxfp4),
        ("nvfp4", QuantMode::Nvfp4, 4, 16, Packing::Nvfp4),
        ("mxfp8", QuantMode::Mxfp8, 8, 32, Packing::Mxfp8),
    ];
    for (key, mode, bits, group_size, packing) in modes {
        let get = |part: &str| file.tensor(&format!("{key}.{part}"));
        let (words, scales) = (get("weight"), get("scales"));
        let quant = TensorQuant { mode, bits, group_size };
        let weight = Weight::from_mlx(&words, &scales, None, &quant).unwrap();
        assert_eq!((weight.packing, weight.rows, weight.cols), (packing, 4, 128));
        assert_same(key, &decode(&weight), &file.floats(&format!("{key}.expected")));

        let ours = encode(packing, 4, 128, &file.floats(&format!("{key}.source"))).unwrap();
        assert_eq!(ours.codes[..], weight.codes[..], "{key}: codes");
        assert_eq!(ours.scales.unwrap()[..], scales.bytes[..], "{key}: scales");
    }
}
