//! Any bytes as a safetensors file: no panic, tensors within bounds, and nothing accepted that the
//! reference refuses.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tessera_formats::safetensors::File;

fuzz_target!(|data: &[u8]| {
    let Ok(file) = File::parse(data.to_vec().into(), "fuzz.safetensors".as_ref()) else { return };
    for tensor in &file.tensors {
        assert_eq!(Some(tensor.bytes.len()), tensor.dtype.bytes(&tensor.shape));
    }
    safetensors::SafeTensors::read_metadata(data).expect("the reference reads it too");
});
