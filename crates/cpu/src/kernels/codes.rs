//! Unpacking a block of codes: bit planes to eight vectors of one byte a code.

use crate::isa::Isa;

/// How codes of a tile become bytes.
pub(super) trait Unpack {
    /// Bytes of a block's planes.
    const BYTES: usize;
    /// Whether bytes may exceed 127.
    const WIDE: bool;
    /// Whether bytes are e4m3 floats instead of integers.
    const FLOAT: bool = false;

    /// The eight k-steps of the block at `p`: 16 rows x 4 columns each.
    ///
    /// # Safety
    /// `p` is good for `BYTES` bytes; the machine has `S`.
    unsafe fn unpack<S: Isa>(p: *const u8, table: S::B) -> [S::B; 8];
}

/// Integers of `BITS` bits.
pub(super) struct Bits<const BITS: usize>;
/// 4-bit indices into a table.
pub(super) struct Table;
/// e4m3 floats.
pub(super) struct E4m3;

/// `width` bits of each byte of `$line`, moved from bit `$from` to bit `$to`.
macro_rules! field {
    ($line:expr, $from:literal => $to:literal, $mask:expr) => {
        S::and(
            if $from > $to {
                S::shr::<{ if $from > $to { $from - $to } else { 0 } }>($line)
            } else if $to > $from {
                S::shl::<{ if $to > $from { $to - $from } else { 0 } }>($line)
            } else {
                $line
            },
            $mask,
        )
    };
}

/// Four lines of nibbles.
#[inline(always)]
unsafe fn plane4<S: Isa>(p: *const u8) -> [S::B; 8] {
    // SAFETY: the caller of `unpack` vouches for the memory and the machine.
    unsafe {
        let l = [
            S::load_bytes(p),
            S::load_bytes(p.add(64)),
            S::load_bytes(p.add(128)),
            S::load_bytes(p.add(192)),
        ];
        let m = S::splat_byte(15);
        [
            S::and(l[0], m),
            S::and(l[1], m),
            S::and(l[2], m),
            S::and(l[3], m),
            field!(l[0], 4 => 0, m),
            field!(l[1], 4 => 0, m),
            field!(l[2], 4 => 0, m),
            field!(l[3], 4 => 0, m),
        ]
    }
}

/// Two lines of bit pairs, moved to bit `$to`.
macro_rules! plane2 {
    ($p:expr, $to:literal) => {{
        let l = [S::load_bytes($p), S::load_bytes($p.add(64))];
        let m = S::splat_byte(3 << $to);
        [
            field!(l[0], 0 => $to, m),
            field!(l[1], 0 => $to, m),
            field!(l[0], 2 => $to, m),
            field!(l[1], 2 => $to, m),
            field!(l[0], 4 => $to, m),
            field!(l[1], 4 => $to, m),
            field!(l[0], 6 => $to, m),
            field!(l[1], 6 => $to, m),
        ]
    }};
}

/// One line of bits, moved to bit `$to`.
macro_rules! plane1 {
    ($p:expr, $to:literal) => {{
        let l = S::load_bytes($p);
        let m = S::splat_byte(1 << $to);
        [
            field!(l, 0 => $to, m),
            field!(l, 1 => $to, m),
            field!(l, 2 => $to, m),
            field!(l, 3 => $to, m),
            field!(l, 4 => $to, m),
            field!(l, 5 => $to, m),
            field!(l, 6 => $to, m),
            field!(l, 7 => $to, m),
        ]
    }};
}

/// Joins two planes.
macro_rules! join {
    ($a:expr, $b:expr) => {{
        let (a, b) = ($a, $b);
        [
            S::or(a[0], b[0]),
            S::or(a[1], b[1]),
            S::or(a[2], b[2]),
            S::or(a[3], b[3]),
            S::or(a[4], b[4]),
            S::or(a[5], b[5]),
            S::or(a[6], b[6]),
            S::or(a[7], b[7]),
        ]
    }};
}

macro_rules! unpack {
    ($(#[$doc:meta])* $name:ty, $bytes:expr, wide $wide:literal $(, float $float:literal)?, |$p:ident, $table:ident| $body:expr) => {
        impl Unpack for $name {
            const BYTES: usize = $bytes;
            const WIDE: bool = $wide;
            $(const FLOAT: bool = $float;)?

            #[inline(always)]
            unsafe fn unpack<S: Isa>($p: *const u8, $table: S::B) -> [S::B; 8] {
                // SAFETY: the caller vouches for the memory and the machine.
                unsafe { $body }
            }
        }
    };
}

unpack!(Bits<2>, 128, wide false, |p, _t| plane2!(p, 0));
unpack!(Bits<3>, 192, wide false, |p, _t| join!(plane2!(p, 0), plane1!(p.add(128), 2)));
unpack!(Bits<4>, 256, wide false, |p, _t| plane4::<S>(p));
unpack!(Bits<5>, 320, wide false, |p, _t| join!(plane4::<S>(p), plane1!(p.add(256), 4)));
unpack!(Bits<6>, 384, wide false, |p, _t| join!(plane4::<S>(p), plane2!(p.add(256), 4)));
unpack!(Bits<8>, 512, wide true, |p, _t| plane8::<S>(p));
unpack!(E4m3, 512, wide true, float true, |p, _t| plane8::<S>(p));
unpack!(Table, 256, wide true, |p, table| {
    let i = plane4::<S>(p);
    [
        S::lookup(table, i[0]),
        S::lookup(table, i[1]),
        S::lookup(table, i[2]),
        S::lookup(table, i[3]),
        S::lookup(table, i[4]),
        S::lookup(table, i[5]),
        S::lookup(table, i[6]),
        S::lookup(table, i[7]),
    ]
});

/// Eight lines of bytes.
#[inline(always)]
unsafe fn plane8<S: Isa>(p: *const u8) -> [S::B; 8] {
    // SAFETY: the caller of `unpack` vouches for the memory and the machine.
    unsafe {
        [
            S::load_bytes(p),
            S::load_bytes(p.add(64)),
            S::load_bytes(p.add(128)),
            S::load_bytes(p.add(192)),
            S::load_bytes(p.add(256)),
            S::load_bytes(p.add(320)),
            S::load_bytes(p.add(384)),
            S::load_bytes(p.add(448)),
        ]
    }
}
