//! What rustc refuses in a kernel by names and types. Each refused line has beside it one that is accepted in the same
//! kernel, so that nothing else can be the reason.

macro_rules! lines {
    ($($name:ident: $refused:literal, not $accepted:literal;)*) => { $(
        #[doc = "```compile_fail"]
        #[doc = include_str!("begin.txt")]
        #[doc = $refused]
        #[doc = include_str!("end.txt")]
        #[doc = "```"]
        #[doc = "```"]
        #[doc = include_str!("begin.txt")]
        #[doc = $accepted]
        #[doc = include_str!("end.txt")]
        #[doc = "```"]
        pub struct $name;
    )* };
}

lines! {
    UnknownName: "acc += w;", not "acc += v;";
    UnknownArgument: "acc += a.width.f32();", not "acc += a.len.f32();";
    ConditionOfNumber: "if u { acc += v; }", not "if u == 1 { acc += v; }";
    ConditionAsValue: "acc += if v < 1.0 { v } else { -v };", not "acc += select(v < 1.0, v, -v);";
    MatchOfValue: "match u { 1 => acc += v, _ => {} }", not "match 1u32 { 1 => acc += v, _ => {} }";
    MixedTypes: "acc += u;", not "acc += u.f32();";
    MixedComparison: "if u < v { acc += v; }", not "if u.f32() < v { acc += v; }";
    LiteralOfOtherType: "acc += 1;", not "acc += 1.0;";
    AssignedValue: "v = x.at(0);", not "acc = x.at(0);";
    ChangedValue: "v += 1.0;", not "acc += 1.0;";
    ChangedCounter: "for mut j in 0..u { j += 1; }", not "for j in 0..u { acc += j.f32(); }";
    DestructuredAssignment: "(acc, _) = (v, u);", not "acc = v;";
    VariableOfRust: "let mut s = String::new();", not "let mut s = [v, v]; s[0] += v; acc += s[1];";
    WrittenInput: "x.set(i, v);", not "y.set(i, v);";
    ReadOutput: "acc += y.at(i);", not "acc += x.at(i);";
    StoredType: "y.set(i, u);", not "y.set(i, u.f32());";
    VectorOfOtherType: "y.store(0, [u, u]);", not "y.store(0, [v, v]);";
    IndexOfFloat: "acc += x.at(v);", not "acc += x.at(u);";
    IndexOfSigned: "acc += x.at(u.i32());", not "acc += x.at(u.i32().u32());";
    LoopToFloat: "for j in 0..v { acc += v; }", not "for _ in 0..u { acc += v; }";
    LoopOfSigned: "for j in 0..u.i32() { acc += v; }", not "for _ in 0..u { acc += v; }";
    BitsOfFloat: "acc = v & v;", not "acc = (v.bits() & u).as_float();";
    NotOfFloat: "acc = !v;", not "acc = (!v.bits()).as_float();";
    ShiftOfFloat: "acc = v << 1;", not "acc = (u << 1).f32();";
    RemainderOfFloat: "acc = v % v;", not "acc = (u % u).f32();";
    SumOfBools: "acc = ((v < 1.0) + (v < 2.0)).f32();", not "acc = ((v < 1.0) & (v < 2.0)).f32();";
    FunctionOfInteger: "acc = exp(u);", not "acc = exp(u.f32());";
    CountOfFloat: "z.set(i, popcount(v));", not "z.set(i, popcount(u));";
    SelectOfTwoTypes: "acc = select(v < 1.0, v, u);", not "acc = select(v < 1.0, v, v);";
    SumOfLanesOfBools: "acc = simd_sum(v < 1.0).f32();", not "acc = simd_sum((v < 1.0).u32()).f32();";
    BallotOfNumbers: "z.set(i, ballot(u));", not "z.set(i, ballot(u == 1));";
    ShuffleOfBools: "shuffle(v < 1.0, 0);", not "shuffle(v, 0);";
    AtomicOfFloat: "atomic_add(stage, i, 1);", not "atomic_add(z, i, 1);";
    AtomicOfInput: "atomic_add(n, i, 1);", not "atomic_add(z, i, 1);";
    AtomicValue: "atomic_add(z, i, v);", not "atomic_add(z, i, u);";
    StagedFromWritten: "shared::<U32>(\"w\", 64).stage::<1>(i, z, i); commit_staged(); wait_staged(0);",
        not "shared::<U32>(\"w\", 64).stage::<1>(i, n, i); commit_staged(); wait_staged(0);";
    StagedToOthers: "stage.stage::<1>(i, n, i); commit_staged(); wait_staged(0);",
        not "stage.stage::<1>(i, x, i); commit_staged(); wait_staged(0);";
    StagedToBuffer: "z.stage::<1>(i, n, i); commit_staged(); wait_staged(0);", not "z.set(i, n.at(i));";
    StagedOnNumber: "stage.stage_if::<1>(u, i, x, i); commit_staged(); wait_staged(0);",
        not "stage.stage_if::<1>(u == 1, i, x, i); commit_staged(); wait_staged(0);";
    WaitForValue: "wait_staged(u);", not "commit_staged(); wait_staged(0);";
    TileOfBuffer: "Tile::left(x, 0, 16);", not "Tile::left(stage, 0, 16);";
    TileOfWords: "Tile::left(shared::<U32>(\"w\", 256), 0, 16);", not "Tile::left(shared::<F16>(\"w\", 256), 0, 16);";
    TileToHalf: "Tile::sum(0.0).store(shared::<F16>(\"h\", 256), 0, 16);",
        not "Tile::sum(0.0).store(shared::<F32>(\"h\", 256), 0, 16);";
    SharedOfRust: "stage.set(0, shared::<f32>(\"f\", 1).at(0));", not "stage.set(0, shared::<F32>(\"f\", 1).at(0));";
}
