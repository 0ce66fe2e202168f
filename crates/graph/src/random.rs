//! The random draws that every backend shares.
//!
//! A draw is a pure function of `(seed, position)`: it depends neither on what else is in the batch, nor
//! on how the sequence got there. The generator is Philox4x32-10 (Salmon et al., "Parallel random
//! numbers: as easy as 1, 2, 3", 2011) with the seed as key and the position as counter.

/// Multipliers of the two lanes, and what is added to the two key words each round.
const MULTIPLY: [u32; 2] = [0xD251_1F53, 0xCD9E_8D57];
const WEYL: [u32; 2] = [0x9E37_79B9, 0xBB67_AE85];
const ROUNDS: usize = 10;

/// A number in `[0, 1)`, a multiple of 2^-24, for the token drawn at `position`.
pub fn uniform(seed: u64, position: u32) -> f32 {
    let word = philox([position, 0, 0, 0], [seed as u32, (seed >> 32) as u32])[0];
    (word >> 8) as f32 / (1u32 << 24) as f32
}

fn philox(mut counter: [u32; 4], mut key: [u32; 2]) -> [u32; 4] {
    for _ in 0..ROUNDS {
        let [a, b, c, d] = counter;
        let (high0, low0) = multiply(MULTIPLY[0], a);
        let (high1, low1) = multiply(MULTIPLY[1], c);
        counter = [high1 ^ b ^ key[0], low1, high0 ^ d ^ key[1], low0];
        key = [key[0].wrapping_add(WEYL[0]), key[1].wrapping_add(WEYL[1])];
    }
    counter
}

/// High and low half of a product.
fn multiply(a: u32, b: u32) -> (u32, u32) {
    let product = u64::from(a) * u64::from(b);
    ((product >> 32) as u32, product as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The known answers that come with the paper's reference implementation.
    #[test]
    fn philox_gives_the_published_answers() {
        let known = [
            ([0; 4], [0; 2], [0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8]),
            ([!0; 4], [!0; 2], [0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd]),
            (
                [0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344],
                [0xa4093822, 0x299f31d0],
                [0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1],
            ),
        ];
        for (counter, key, answer) in known {
            assert_eq!(philox(counter, key), answer);
        }
    }

    #[test]
    fn draws_are_uniform_and_below_one() {
        let n = 20_000;
        let draws: Vec<f32> = (0..n).map(|i| uniform(7, i)).collect();
        assert!(draws.iter().all(|&u| (0.0..1.0).contains(&u)));
        let mean = draws.iter().sum::<f32>() / n as f32;
        assert!((mean - 0.5).abs() < 0.01, "mean {mean}");
        for tenth in 0..10 {
            let count = draws.iter().filter(|&&u| (u * 10.0) as u32 == tenth).count();
            assert!((1800..2200).contains(&count), "{count} draws in tenth {tenth}");
        }
        assert_ne!(uniform(7, 0), uniform(8, 0));
    }
}
