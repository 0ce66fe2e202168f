//! Streams of codes of a few bits, eight at a time in one 64-bit register.

/// Eight codes of `BITS` bits, packed from the lowest bit of `packed` upwards, one to a byte.
///
/// Halves are moved apart three times (64 = 2 * 32 = 4 * 16 = 8 * 8): no loop and no table.
#[inline(always)]
pub(crate) fn spread<const BITS: u32>(packed: u64) -> u64 {
    const fn low(bits: u32) -> u64 {
        (1 << bits) - 1
    }
    let x = (packed & low(4 * BITS)) | (packed >> (4 * BITS) & low(4 * BITS)) << 32;
    let mask = low(2 * BITS) * 0x0000_0001_0000_0001;
    let x = (x & mask) | (x >> (2 * BITS) & mask) << 16;
    let mask = low(BITS) * 0x0001_0001_0001_0001;
    (x & mask) | (x >> BITS & mask) << 8
}

/// Unpacks a little-endian stream of codes of `N` bits: `N` bytes hold eight codes.
pub(crate) fn unpack<const N: usize>(bytes: &[u8], out: &mut [u8]) {
    for (packed, codes) in bytes.as_chunks::<N>().0.iter().zip(out.as_chunks_mut::<8>().0) {
        let mut word = [0; 8];
        word[..N].copy_from_slice(packed);
        let word = u64::from_le_bytes(word);
        let spread = match N {
            2 => spread::<2>(word),
            3 => spread::<3>(word),
            4 => spread::<4>(word),
            5 => spread::<5>(word),
            6 => spread::<6>(word),
            _ => word,
        };
        *codes = spread.to_le_bytes();
    }
}

/// Appends codes of `bits` bits to a little-endian stream; their number is a multiple of eight.
pub(crate) fn pack(bits: u8, codes: &[u8], out: &mut Vec<u8>) {
    for eight in codes.as_chunks::<8>().0 {
        let word = eight.iter().rev().fold(0u64, |w, &c| w << bits | u64::from(c));
        out.extend_from_slice(&word.to_le_bytes()[..usize::from(bits)]);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn unpack_undoes_pack(bits in 2u8..=8, raw in prop::collection::vec(any::<u8>(), 64)) {
            prop_assume!(bits != 7);
            let codes: Vec<u8> = raw.iter().map(|c| c & (0xff >> (8 - bits))).collect();
            let mut packed = Vec::new();
            pack(bits, &codes, &mut packed);
            prop_assert_eq!(packed.len(), usize::from(bits) * 8);
            let mut back = vec![0; 64];
            match bits {
                2 => unpack::<2>(&packed, &mut back),
                3 => unpack::<3>(&packed, &mut back),
                4 => unpack::<4>(&packed, &mut back),
                5 => unpack::<5>(&packed, &mut back),
                6 => unpack::<6>(&packed, &mut back),
                _ => unpack::<8>(&packed, &mut back),
            }
            prop_assert_eq!(back, codes);
        }

        #[test]
        fn spread_puts_bit_k_in_byte_k(byte: u8) {
            let bytes = spread::<1>(u64::from(byte)).to_le_bytes();
            for (k, b) in bytes.into_iter().enumerate() {
                prop_assert_eq!(b, byte >> k & 1);
            }
        }
    }
}
