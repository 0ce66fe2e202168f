//! Any bytes as a configuration: no panic in parsing, getters and quantisation.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tessera_formats::{Config, Quantization};

fn read_all(config: &Config, depth: usize) {
    for key in config.raw().keys() {
        let _ = (config.opt_usize(key, 1..=1 << 20), config.opt_f32(key), config.opt_bool(key));
        let _ = (config.opt_str(key), config.opt_strs(key), config.opt_bools(key));
        let _ = (config.opt_usizes(key, 0..=usize::MAX), config.opt_f32s(key));
        let _ = config.opt_f32_in(key, 0.0..=1.0);
        if let (Ok(Some(sub)), 1..) = (config.opt_sub(key), depth) {
            read_all(&sub, depth - 1);
        }
    }
}

fuzz_target!(|data: &[u8]| {
    let Ok(config) = Config::parse(data, "config.json") else { return };
    read_all(&config, 3);
    let Ok(Some(quantization)) = Quantization::from_config(&config) else { return };
    let shapes = [0, 1, 7, 16, 48, data.len(), usize::MAX];
    for words in shapes {
        for groups in shapes {
            let (weight, scales) = ([3, words], [3, groups]);
            for biases in [false, true] {
                let _ = quantization.for_tensor("m", &weight, Some(&scales), biases, None);
                let known = quantization.for_tensor("m", &weight, Some(&scales), biases, Some(256));
                if let Ok(Some(quant)) = known {
                    assert_eq!(groups * quant.group_size, 256);
                    assert_eq!(words * 32, 256 * usize::from(quant.bits));
                }
            }
        }
    }
});
