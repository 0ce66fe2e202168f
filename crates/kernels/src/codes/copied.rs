//! Steps that are copied to shared memory before they are wanted, as they lie in the matrix.

use tessera_quant::Codes;
use tessera_tile::prelude::*;

use super::{Group, Matrix, Packed, Plane, Planes, STEP, Step};

/// Codes or plain floats of steps in shared memory.
pub struct Copied {
    codes: Result<Shared<U32>, Shared<AnyFloat>>,
}

impl Matrix {
    /// Elements of a step as they lie in the matrix.
    fn step_len(&self) -> u32 {
        match self.form.codes {
            Codes::Float(_) => STEP,
            _ => self.bits(),
        }
    }

    /// Bytes of a step, without what is said of its groups.
    pub fn step_bytes(&self) -> u32 {
        self.step_len() * self.plane_elem(Plane::Codes).bytes() as u32
    }
}

impl Planes {
    /// Shared memory for so many steps.
    pub fn shelf(&self, name: &'static str, steps: u32) -> Copied {
        let len = steps * self.matrix.step_len();
        let codes = match self.codes {
            Some(_) => Ok(shared(name, len)),
            None => Err(shared_of(name, self.matrix.plane_elem(Plane::Codes), len)),
        };
        Copied { codes }
    }

    /// Begins to copy the step at `32 * block` of row `row` to place `place`; `steps` is a row's number of blocks.
    pub fn copy(
        &self,
        to: &Copied,
        place: Val<u32>,
        (row, block, steps): (Val<u32>, Val<u32>, Val<u32>),
    ) {
        let (bytes, len) = (self.matrix.step_bytes(), self.matrix.step_len());
        let (at, from) = (place * len, (row * steps + block) * len);
        // as many bytes at once as every row begins at a multiple of
        let most = [16, 8, 4].into_iter().find(|&most| bytes.is_multiple_of(most)).unwrap_or(4);
        let count = len / (bytes / most);
        for i in (0..len).step_by(count as usize) {
            let (at, from) = (at + i, from + i);
            match (&to.codes, self.codes, self.floats) {
                (Ok(to), Some(codes), _) => match count {
                    4 => to.stage::<4>(at, codes, from),
                    2 => to.stage::<2>(at, codes, from),
                    _ => to.stage::<1>(at, codes, from),
                },
                (Err(to), _, Some(floats)) => match count {
                    8 => to.stage::<8>(at, floats, from),
                    _ => to.stage::<4>(at, floats, from),
                },
                _ => unreachable!("a shelf is of its matrix's elements"),
            }
        }
    }

    /// The step at a place, with what is said of its groups.
    pub fn copied(&self, from: &Copied, place: Val<u32>, groups: Vec<Group>) -> Step {
        let codes = match from.codes {
            Ok(codes) => Ok(self.words(codes, place)),
            Err(floats) => Err(self.floats(floats, place)),
        };
        self.unpack(Packed { codes, groups })
    }
}
