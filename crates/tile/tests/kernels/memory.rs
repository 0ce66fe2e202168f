//! Loads and stores of every type and width.

use super::*;

macro_rules! widths {
    ($spec:ident, $function:ident, $elem:ident) => {
        spec!($spec, None_, 32);

        #[kernel]
        fn $function(k: &$spec, #[of(k.elem())] x: In<$elem>, #[of(k.elem())] y: InOut<$elem>) {
            let stage = shared_of::<$elem>("stage", k.elem(), 256);
            let i = thread();
            y.set(i, x.at(i));
            let two = x.load::<2>(i * 2);
            y.store(i * 2, [two[1], two[0]]);
            let four = x.load::<4>(i * 4);
            y.store(i * 4 + 64, four);
            stage.store(i * 4, four);
            barrier();
            y.store(0, stage.load::<4>((i ^ 1) * 4));
            if k.elem().bytes() < 4 {
                let eight = x.load::<8>(i * 8);
                stage.store(i * 8, eight);
                y.store(i * 8, stage.load::<8>(i * 8));
                // half of it
                let lower = x.load::<8>(8);
                y.set(i, lower[2] + lower[0]);
            }
        }
    };
}

/// Of floats.
#[derive(Name)]
pub struct FloatWidths {
    pub elem: Elem,
}

impl FloatWidths {
    fn elem(&self) -> Elem {
        self.elem
    }
}
widths!(FloatWidths, float_widths, AnyFloat);

/// Of unsigned numbers.
#[derive(Name)]
pub struct WordWidths {
    pub elem: Elem,
}

impl WordWidths {
    fn elem(&self) -> Elem {
        self.elem
    }
}
widths!(WordWidths, word_widths, AnyWord);

/// Of signed bytes.
#[derive(Name)]
pub struct ByteWidths;

impl ByteWidths {
    fn elem(&self) -> Elem {
        Elem::I8
    }
}
widths!(ByteWidths, byte_widths, I8);

/// Of signed numbers.
#[derive(Name)]
pub struct IntWidths;

impl IntWidths {
    fn elem(&self) -> Elem {
        Elem::I32
    }
}
widths!(IntWidths, int_widths, I32);

/// A buffer that some specialisations lack.
#[derive(Name)]
pub struct Optional {
    pub bias: bool,
}
spec!(Optional, Len, 32);

#[kernel]
fn optional(
    k: &Optional,
    x: In<F32>,
    #[when(k.bias)] bias: Option<In<F16>>,
    y: Out<F32>,
    a: Args<Len>,
) {
    let i = thread();
    let mut value = x.at(i);
    if let Some(bias) = bias {
        value += bias.at(i % a.len);
    }
    y.set(i, value);
}
