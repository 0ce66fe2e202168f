//! What a row asks of its logits: biases, penalties, a mask.

use tessera_tile::prelude::*;

use super::Draws;
use crate::tables::{NO_MASK, draw as words};

/// Adds the row's biases of tokens `first..first + len`, which are `near`.
#[device]
pub(super) fn add_biases(
    draw: Draws,
    biases: In<U32>,
    near: Shared<F32>,
    first: Val<u32>,
    len: Val<u32>,
) {
    let (start, count) = (draw.word(words::BIAS), draw.word(words::BIAS_COUNT));
    for i in (thread()..count).step_by(threads()) {
        let [token, bias] = biases.load::<2>((start + i) * 2);
        // tokens before the block wrap, and so are beyond it
        let at = token - first;
        if at < len {
            near.set(at, near.at(at) + bias.as_float());
        }
    }
}

/// Applies the row's penalties to tokens `first..first + len`, which are `near`.
#[device]
pub(super) fn penalise(
    draw: Draws,
    history: In<U32>,
    near: Shared<F32>,
    first: Val<u32>,
    len: Val<u32>,
) {
    let (start, count) = (draw.word(words::HISTORY), draw.word(words::HISTORY_COUNT));
    let repetition = draw.float(words::REPETITION);
    let presence = draw.float(words::PRESENCE);
    let frequency = draw.float(words::FREQUENCY);
    for i in (thread()..count).step_by(threads()) {
        let [token, generated] = history.load::<2>((start + i) * 2);
        let at = token - first;
        if at < len {
            let x = near.at(at);
            let x = select(x > 0.0, x / repetition, x * repetition);
            let punished = x - presence - frequency * generated.f32();
            near.set(at, select(generated > 0, punished, x));
        }
    }
}

/// Whether the row's mask allows a token.
#[device]
pub(super) fn is_allowed(draw: Draws, masks: In<U32>, token: Val<u32>) -> Val<bool> {
    let mask = draw.word(words::MASK);
    let mut bits = u32::MAX;
    if mask != NO_MASK {
        bits = masks.at(mask + token / 32);
    }
    (bits >> (token % 32)) & 1 == 1
}
