//! Random programs.

use tessera_tile::{
    Program,
    flow::{Assign, Bounds, Compare, Condition, Mutable, Named, NamedValue},
    kernel::Parameter,
    prelude::*,
    record,
};

/// Blocks within blocks.
const DEPTH: usize = 3;

/// Elements of each memory.
pub const LEN: u32 = 64;

/// A generator of numbers.
pub struct Random(pub u64);

impl Random {
    /// Any number, small ones and those at the edges more often.
    pub fn word(&mut self) -> u32 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let bits = (self.0 >> 32) as u32;
        match bits % 5 {
            0 => bits >> 8 & 7,
            1 => (bits >> 8 & 7).wrapping_neg(),
            2 => 0x8000_0000_u32.wrapping_add(bits >> 8 & 1),
            3 => (bits as f32 / 65536.0 - 20000.0).to_bits(),
            _ => bits.rotate_left(13),
        }
    }

    /// Below a limit.
    fn below(&mut self, limit: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % limit
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }
}

/// What there is at a place of the program.
struct Author {
    random: Random,
    words: Vec<Val<u32>>,
    signed: Vec<Val<i32>>,
    floats: Vec<Val<f32>>,
    truths: Vec<Val<bool>>,
    word_vars: Vec<Var<u32>>,
    float_vars: Vec<Var<f32>>,
    x: In<U32>,
    y: InOut<U32>,
    z: InOut<U32>,
    stage: Shared<U32>,
    /// What is staged lies here, and nothing else.
    ring: Shared<U32>,
}

/// A program without other threads.
pub fn program(seed: u64) -> Program {
    let made = record::record("random".into(), 32, || {
        let x = In::declare("x", None);
        let (y, z) = (InOut::declare("y", None), InOut::declare("z", None));
        let mut author = Author {
            random: Random(seed),
            words: vec![val(7)],
            signed: vec![val(-3)],
            floats: vec![val(1.5)],
            truths: vec![val(true)],
            word_vars: vec![5u32.variable("n")],
            float_vars: vec![0.25f32.variable("acc")],
            x,
            y,
            z,
            stage: shared("stage", LEN),
            ring: shared("ring", LEN),
        };
        for i in 0..LEN {
            author.stage.set(i, x.at(i));
            author.ring.set(i, x.at(LEN - 1 - i));
        }
        author.block(25, DEPTH);
        for (i, var) in (0u32..LEN).zip(author.word_vars.clone()) {
            author.z.set(i, var);
        }
    });
    made.unwrap()
}

impl Author {
    /// Statements, with blocks within to a depth.
    fn block(&mut self, statements: usize, depth: usize) {
        let counts = [self.words.len(), self.signed.len(), self.floats.len(), self.truths.len()];
        let vars = [self.word_vars.len(), self.float_vars.len()];
        for _ in 0..statements {
            self.statement(depth);
        }
        // what a block makes is not seen after it
        self.words.truncate(counts[0]);
        self.signed.truncate(counts[1]);
        self.floats.truncate(counts[2]);
        self.truths.truncate(counts[3]);
        self.word_vars.truncate(vars[0]);
        self.float_vars.truncate(vars[1]);
    }

    fn statement(&mut self, depth: usize) {
        match self.random.below(17) {
            0..=2 => {
                let value = self.word(3);
                // some have names, which keeps them from being put in place
                if self.random.below(3) == 0 {
                    Named(&value).name(self.random.pick(&["x", "half", "sum", "t"]));
                }
                self.words.push(value);
            }
            3 => {
                let value = self.signed(3);
                self.signed.push(value);
            }
            4 => {
                let value = self.float(3);
                self.floats.push(value);
            }
            5 => {
                let value = self.truth(2);
                self.truths.push(value);
            }
            6 => {
                let (to, value) = (self.random.pick(&self.word_vars), self.word(2));
                let changed =
                    [to + value, value - to, to ^ value, to * value][self.random.below(4)];
                to.assign(changed);
            }
            7 => {
                let (to, value) = (self.random.pick(&self.float_vars), self.float(2));
                let changed = [to + value, value - to, to * value][self.random.below(3)];
                to.assign(changed);
            }
            8 => {
                let value = self.word(1).variable("n");
                self.word_vars.push(value);
            }
            9..=11 => {
                let (index, value) = (self.index(1), self.word(2));
                match self.random.below(3) {
                    0 => self.y.set(index, value),
                    1 => self.z.set(index, value),
                    _ => self.stage.set(index, value),
                }
            }
            12 => self.vectors(),
            // groups are for all threads, so within no branch
            15..=16 if depth == DEPTH => self.staged(),
            13 if depth > 0 => {
                let mut branch = self.truth(2).begin();
                if branch.then() {
                    self.block(4, depth - 1);
                }
                if branch.otherwise() && self.random.below(3) > 0 {
                    // often nothing but another branch
                    let statements = self.random.pick(&[1, 1, 3]);
                    self.block(statements, depth - 1);
                }
                branch.end();
            }
            14 if depth > 0 => {
                let [from, to, step] = [4, 5, 3].map(|limit| self.word(1) % limit);
                for counter in from.each(to, step + 1) {
                    self.words.push(counter);
                    self.block(4, depth - 1);
                    self.words.pop();
                }
            }
            _ => {}
        }
    }

    /// Vector loads and stores.
    fn vectors(&mut self) {
        let index = self.word(1) % (LEN / 4) * 4;
        let four = match self.random.below(3) {
            0 => self.x.load::<4>(index),
            1 => self.y.load::<4>(index),
            _ => self.stage.load::<4>(index),
        };
        let two = self.z.load::<2>(index + 2);
        self.words.extend([four[0], four[2], two[1]]);
        let others = [self.word(1), self.word(1)];
        self.z.store(index, [four[1], others[0], two[0], others[1]]);
        self.stage.store(index, others);
    }

    /// Copies of every size to different places, with other statements before and after each wait.
    fn staged(&mut self) {
        let quads: Vec<_> =
            (0..3).map(|i| (self.index(1) % (LEN / 12) + i * (LEN / 12)) * 4).collect();
        let from = self.index(1);
        let early = [self.ring.at(from)];
        self.ring.stage::<1>(quads[0] + from % 4, self.x, from);
        self.ring.stage::<4>(quads[1], self.x, from / 4 * 4);
        commit_staged();
        self.unstaged();
        let inside = self.truth(2);
        // where it is not inside it may be anywhere
        let anywhere = select(inside, from / 2 * 2, self.word(1));
        self.ring.stage_if::<2>(inside, quads[2], self.x, anywhere);
        commit_staged();
        wait_staged(1);
        self.words.extend([early[0], self.ring.at(quads[1] + 2)]);
        self.unstaged();
        wait_staged(0);
        self.words.extend(self.ring.load::<2>(quads[2]));
        self.words.push(self.ring.at(quads[0] + from % 4));
    }

    /// Statements that stage nothing.
    fn unstaged(&mut self) {
        let (index, value) = (self.index(1), self.word(2));
        self.stage.set(index, value);
        self.vectors();
    }

    fn index(&mut self, depth: usize) -> Val<u32> {
        self.word(depth) % LEN
    }

    fn word(&mut self, depth: usize) -> Val<u32> {
        if depth == 0 {
            return match self.random.below(4) {
                0 => val(self.random.word()),
                1 => self.random.pick(&self.word_vars).get(),
                _ => self.random.pick(&self.words),
            };
        }
        let a = self.word(depth - 1);
        match self.random.below(22) {
            0 => a + self.word(depth - 1),
            1 => a - self.word(depth - 1),
            2 => a * self.word(depth - 1),
            3 => a / (self.word(depth - 1) | 1),
            4 => a % (self.word(depth - 1) | 1),
            5 => a & self.word(depth - 1),
            6 => a | self.word(depth - 1),
            7 => a ^ self.word(depth - 1),
            8 => a << (self.word(depth - 1) & 31),
            9 => a >> (self.word(depth - 1) & 31),
            10 => !a,
            11 => -a,
            12 => min::<u32>(a, self.word(depth - 1)),
            13 => popcount(a) + leading_zeros(self.word(depth - 1)),
            14 => self.signed(depth - 1).bits(),
            15 => self.float(depth - 1).u32(),
            16 => self.truth(depth - 1).u32(),
            17 => self.x.at(a % LEN),
            18 => self.y.at(a % LEN),
            19 => self.stage.at(a % LEN),
            20 => self.float(depth - 1).bits(),
            _ => select(self.truth(depth - 1), a, self.word(depth - 1)),
        }
    }

    fn signed(&mut self, depth: usize) -> Val<i32> {
        if depth == 0 {
            return match self.random.below(3) {
                0 => val(self.random.word() as i32),
                _ => self.random.pick(&self.signed),
            };
        }
        let a = self.signed(depth - 1);
        match self.random.below(16) {
            0 => a + self.signed(depth - 1),
            1 => a - self.signed(depth - 1),
            2 => a * self.signed(depth - 1),
            3 => a / (self.signed(depth - 1) & 0xff | 1),
            4 => a % (self.signed(depth - 1) & 0xff | 1),
            5 => a & self.signed(depth - 1),
            6 => a | self.signed(depth - 1),
            7 => a ^ self.signed(depth - 1),
            8 => a << (self.signed(depth - 1) & 31),
            9 => a >> (self.signed(depth - 1) & 31),
            10 => !a,
            11 => -a,
            12 => abs::<i32>(a),
            13 => self.word(depth - 1).i32() + self.truth(depth - 1).i32(),
            14 => self.float(depth - 1).i32(),
            _ => max::<i32>(a, self.word(depth - 1).as_signed()),
        }
    }

    fn float(&mut self, depth: usize) -> Val<f32> {
        if depth == 0 {
            return match self.random.below(4) {
                0 => val(f32::from_bits(self.random.word())),
                1 => self.random.pick(&self.float_vars).get(),
                _ => self.random.pick(&self.floats),
            };
        }
        let a = self.float(depth - 1);
        match self.random.below(12) {
            0 => a + self.float(depth - 1),
            1 => a - self.float(depth - 1),
            2 => a * self.float(depth - 1),
            3 => a / self.float(depth - 1),
            4 => -a,
            5 => abs::<f32>(a),
            6 => fma(a, self.float(depth - 1), self.float(depth - 1)),
            7 => max::<f32>(a, self.float(depth - 1)),
            8 => self.word(depth - 1).f32(),
            9 => self.signed(depth - 1).f32(),
            10 => self.word(depth - 1).as_float(),
            _ => select(self.truth(depth - 1), a, self.float(depth - 1)),
        }
    }

    fn truth(&mut self, depth: usize) -> Val<bool> {
        if depth == 0 {
            return self.random.pick(&self.truths);
        }
        match self.random.below(9) {
            0 => self.truth(depth - 1) & self.truth(depth - 1),
            1 => self.truth(depth - 1) | self.truth(depth - 1),
            2 => self.truth(depth - 1) ^ self.truth(depth - 1),
            3 => !self.truth(depth - 1),
            4 => self.word(depth - 1).lt(self.word(depth - 1)),
            5 => self.signed(depth - 1).le(self.signed(depth - 1)),
            6 => self.float(depth - 1).lt(self.float(depth - 1)),
            7 => Compare::ne(self.word(depth - 1), self.word(depth - 1)),
            _ => Compare::eq(self.float(depth - 1), self.float(depth - 1)),
        }
    }
}
