//! What a lane has of a head.

use tessera_tile::{memory, prelude::*};

use super::{Turn, TurnArgsVals};

/// A pair of elements of a head, or one that stays, which is the second.
pub(super) struct Part {
    there: Val<bool>,
    turns: Val<bool>,
    places: [Val<u32>; 2],
    values: [Val<f32>; 2],
}

/// The lane's part `i` of the head that begins at `at`. What other lanes have is not looked at: they may have written it.
#[device]
fn part(k: &Turn, x: In<F32>, at: Val<u32>, i: u32) -> Part {
    let own = lane() + i * LANES;
    let (there, turns) = (own < k.parts(), own < k.pairs);
    let first = min(own, k.parts() - 1);
    let places = [first, first + k.pairs];
    let mut u = 0.0;
    let mut v = 0.0;
    if there {
        if turns {
            u = x.at(at + places[0]);
        }
        v = x.at(at + places[1]);
    }
    Part { there, turns, places, values: [u.get(), v.get()] }
}

/// The lane's parts of a head.
pub(super) fn parts(
    k: &Turn,
    x: In<F32>,
    at: Val<u32>,
    angles: In<F32>,
    norm: Option<In<F32>>,
    a: &TurnArgsVals,
) -> Vec<Part> {
    let angle = group(0) * (k.pairs * 2);
    let mut parts: Vec<_> = (0..k.parts().div_ceil(LANES)).map(|i| part(k, x, at, i)).collect();
    if let Some(weights) = norm {
        let square =
            |part: &Part| fma(part.values[1], part.values[1], part.values[0] * part.values[0]);
        let squares = parts.iter().map(square).reduce(|a, b| a + b).expect("a head has elements");
        let scale = rsqrt(simd_sum(squares) / k.cache.head_dim as f32 + a.eps);
        for part in &mut parts {
            let weight = part.places.map(|place| weights.at(place) + a.offset);
            part.values = std::array::from_fn(|i| part.values[i] * scale * weight[i]);
        }
    }
    for part in &mut parts {
        let place = angle + min(part.places[0], k.pairs - 1);
        let (c, s) = (angles.at(place), angles.at(place + k.pairs));
        let [u, v] = part.values;
        part.values = [u * c - v * s, select(part.turns, v * c + u * s, v)];
    }
    parts
}

/// Writes a head to where it begins.
#[device]
pub(super) fn write<E: memory::Element<Value = f32>>(to: Out<E>, at: Val<u32>, parts: &[Part]) {
    for part in parts {
        let ([first, second], [u, v]) = (part.places, part.values);
        if part.there {
            if part.turns {
                to.set(at + first, u);
            }
            to.set(at + second, v);
        }
    }
}
