//! Any bytes as a GGUF file: no panic, tensors within bounds, and what was read survives writing.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tessera_formats::gguf::{Gguf, Writer};

fn rewrite(gguf: &Gguf) -> Vec<u8> {
    let writer = gguf.metadata.iter().fold(Writer::new(), |w, (key, v)| w.pair(key, v.clone()));
    let writer = gguf.tensors.iter().fold(writer, |writer, tensor| {
        assert_eq!(Some(tensor.bytes.len()), tensor.dtype.bytes(&tensor.shape));
        writer.tensor(tensor.clone()).expect("a tensor that was read can be written")
    });
    writer.to_bytes().expect("memory takes all bytes")
}

fuzz_target!(|data: &[u8]| {
    let parse = |bytes: Vec<u8>| Gguf::parse(bytes.into(), "fuzz.gguf".as_ref());
    let Ok(gguf) = parse(data.to_vec()) else { return };
    for (key, _) in gguf.metadata.iter() {
        let metadata = &gguf.metadata;
        let _ = (metadata.opt_str(key), metadata.opt_u64(key), metadata.opt_f32(key));
        let _ = (metadata.opt_bool(key), metadata.opt_i32s(key), metadata.opt_f32s(key));
        let _ = (metadata.opt_u64s(key), metadata.opt_bools(key));
        if let Ok(Some(strings)) = metadata.opt_strings(key) {
            assert_eq!(strings.iter().count(), strings.len());
        }
    }
    let written = rewrite(&gguf);
    let again = parse(written.clone()).expect("a file that was written can be read");
    assert_eq!(rewrite(&again), written);
});
