//! What is CUDA's own.

use crate::{
    Program,
    ir::{
        Access, AtomicOp, Block, Builtin, Collective, Elem, Expr, Kind, Memory, Scope, TileRole,
        Type, Unary,
    },
};

use super::{
    dialect::{Dialect, Memories, arguments, type_name},
    text::Text,
};

/// CUDA C++.
pub struct Cuda;

impl Dialect for Cuda {
    fn head(&self, program: &Program, memories: &Memories) -> Vec<String> {
        let mut parameters = Vec::new();
        for (buffer, name) in program.buffers.iter().zip(&memories.buffers) {
            let elem = self.elem(buffer.elem);
            parameters.push(match buffer.access {
                Access::Read => format!("const {elem}* __restrict__ {name}"),
                Access::Write | Access::ReadWrite => format!("{elem}* {name}"),
            });
        }
        if !program.fields.is_empty() {
            parameters.push(format!("{}_args args", program.name));
        }
        let mut lines = arguments(program, memories);
        let (threads, name) = (program.threads, &program.name);
        lines.push(format!("extern \"C\" __global__ void __launch_bounds__({threads}) {name}("));
        let last = parameters.len().saturating_sub(1);
        for (i, parameter) in parameters.iter().enumerate() {
            lines.push(format!("    {parameter}{}", if i < last { "," } else { ")" }));
        }
        if parameters.is_empty() {
            lines.push("    )".into());
        }
        lines.push("{".into());
        lines
    }

    fn beginning(&self, program: &Program) -> Vec<String> {
        let mut used = [false; 4];
        builtins(&program.body, &mut used);
        let lines = [
            "const uint3 group_index = blockIdx;",
            "const uint thread_index = threadIdx.x;",
            "const uint lane_index = threadIdx.x % 32u;",
            "const uint simdgroup_index = threadIdx.x / 32u;",
        ];
        lines.into_iter().zip(used).filter(|(_, used)| *used).map(|(line, _)| line.into()).collect()
    }

    fn elem(&self, elem: Elem) -> &'static str {
        match elem {
            Elem::F32 => "float",
            Elem::F16 => "half",
            Elem::BF16 | Elem::U16 => "ushort",
            Elem::U32 => "uint",
            Elem::I32 => "int",
            Elem::U8 => "uchar",
            Elem::I8 => "schar",
        }
    }

    fn shared(&self, elem: Elem, name: &str, len: u32) -> String {
        // matrix tiles are loaded from multiples of 32 bytes
        format!("__shared__ __align__(32) {} {name}[{len}];", self.elem(elem))
    }

    fn widen_one(&self, elem: Elem, x: Text) -> Text {
        match elem {
            Elem::F16 => Text::call("float_of_half", &[&x]),
            Elem::BF16 => Text::call("float_of_bfloat", &[&x]),
            Elem::F32 | Elem::U32 | Elem::I32 => x,
            _ => Text::call(type_name(elem.value()), &[&x]),
        }
    }

    fn narrow_one(&self, elem: Elem, x: &Text) -> Text {
        match elem {
            Elem::F16 => Text::call("half_of_float", &[x]),
            Elem::BF16 => Text::call("bfloat_of_float", &[x]),
            Elem::F32 | Elem::U32 | Elem::I32 => x.clone(),
            _ => Text::call(self.elem(elem), &[x]),
        }
    }

    fn wide(&self, elem: Elem, count: usize) -> String {
        match (elem.bytes(), count * elem.bytes()) {
            (4, _) => format!("{}{count}", self.elem(elem)),
            (_, 2) => "ushort".into(),
            (_, 4) => "uint".into(),
            (_, bytes) => format!("uint{}", bytes / 4),
        }
    }

    fn wide_at(&self, _: Memory, wide: &str, constant: bool, address: &Text) -> String {
        let constant = if constant { "const " } else { "" };
        format!("*({constant}{wide}*)({})", address.text)
    }

    fn half_of(&self, elem: Elem, whole: &str, upper: bool) -> String {
        match (elem.bytes(), upper) {
            (1, false) => format!("{whole}.x"),
            (1, true) => format!("{whole}.y"),
            (_, false) => format!("make_uint2({whole}.x, {whole}.y)"),
            (_, true) => format!("make_uint2({whole}.z, {whole}.w)"),
        }
    }

    fn widen(&self, elem: Elem, count: usize, raw: &str) -> String {
        match suffix(elem) {
            None => raw.into(),
            Some(suffix) => format!("widen_{suffix}x{count}({raw})"),
        }
    }

    fn narrow(&self, elem: Elem, values: &[&Text]) -> String {
        let count = values.len();
        let function = match suffix(elem) {
            None => format!("make_{}{count}", self.elem(elem)),
            Some(suffix) => format!("narrow_{suffix}x{count}"),
        };
        Text::call(&function, values).text
    }

    fn join(&self, elem: Elem, lower: &str, upper: &str) -> String {
        match elem.bytes() {
            1 => format!("make_uint2({lower}, {upper})"),
            _ => format!("join_uint2({lower}, {upper})"),
        }
    }

    fn unary(&self, op: Unary, x: &Text) -> Text {
        let function = match op {
            Unary::Exp => "expf",
            Unary::Exp2 => "exp2f",
            Unary::Log => "logf",
            Unary::Sqrt => "sqrtf",
            Unary::Rsqrt => "rsqrtf",
            Unary::Sin => "sinf",
            Unary::Cos => "cosf",
            Unary::Tanh => "tanhf",
            Unary::Floor => "floorf",
            Unary::Round => "rintf",
            Unary::Popcount => return Text::call("uint", &[&Text::call("__popc", &[x])]),
            Unary::LeadingZeros => return Text::call("uint", &[&Text::call("__clz", &[x])]),
            Unary::HalfBits => "float_of_half_bits",
            Unary::Neg | Unary::Not | Unary::Abs => "fabsf",
        };
        Text::call(function, &[x])
    }

    fn extreme(&self, ty: Type, largest: bool, a: &Text, b: &Text) -> Text {
        let function = match (ty, largest) {
            (Type::F32, true) => "fmaxf",
            (Type::F32, false) => "fminf",
            (_, true) => "max",
            (_, false) => "min",
        };
        Text::call(function, &[a, b])
    }

    fn fma(&self, a: &Text, b: &Text, c: &Text) -> Text {
        Text::call("fmaf", &[a, b, c])
    }

    fn bits(&self, from: Type, to: Type, x: &Text) -> Text {
        match (from, to) {
            (Type::F32, Type::U32) => Text::call("__float_as_uint", &[x]),
            (Type::F32, Type::I32) => Text::call("__float_as_int", &[x]),
            (Type::U32, Type::F32) => Text::call("__uint_as_float", &[x]),
            (Type::I32, Type::F32) => Text::call("__int_as_float", &[x]),
            (Type::U32, Type::I32) => x.clone().int(),
            (Type::I32, Type::U32) => x.uint(),
            _ => x.clone(),
        }
    }

    fn commit(&self) -> Option<String> {
        Some("stage_commit();".into())
    }

    fn wait(&self, left: u32) -> Option<String> {
        Some(format!("stage_wait<{left}>();"))
    }

    fn barrier(&self, scope: Scope) -> &'static str {
        match scope {
            // orders accesses to global memory within the block too
            Scope::Shared | Scope::All => "__syncthreads();",
            Scope::Simdgroup => "__syncwarp();",
        }
    }

    fn collective(&self, op: Collective, _: Type, value: &Text, lane: Option<&Text>) -> Text {
        let all = Text::atom("0xffffffffu");
        match op {
            Collective::Sum => Text::call("sum_of_lanes", &[value]),
            Collective::Max => Text::call("max_of_lanes", &[value]),
            Collective::Min => Text::call("min_of_lanes", &[value]),
            Collective::Shuffle => {
                let lane = lane.cloned().unwrap_or_else(|| Text::atom("0"));
                Text::call("__shfl_sync", &[&all, value, &lane])
            }
            Collective::ShuffleXor(mask) => {
                Text::call("__shfl_xor_sync", &[&all, value, &Text::atom(mask.to_string())])
            }
            Collective::PrefixSum => {
                Text::call("sum_of_lanes_before", &[value, &Text::atom("threadIdx.x % 32u")])
            }
            Collective::Ballot => Text::call("__ballot_sync", &[&all, value]),
        }
    }

    fn atomic(&self, op: AtomicOp, _: Memory, address: &Text, value: &Text) -> String {
        let op = match op {
            AtomicOp::Add => "atomicAdd",
            AtomicOp::Max => "atomicMax",
            AtomicOp::Min => "atomicMin",
            AtomicOp::Or => "atomicOr",
        };
        format!("{op}({}, {})", address.text, value.text)
    }

    fn tile(&self, role: TileRole, elem: Elem, transposed: bool) -> String {
        let elem = if elem == Elem::F16 { "f16" } else { "f32" };
        let transposed = if transposed { "_transposed" } else { "" };
        match role {
            TileRole::Left => format!("tile_{elem}_left{transposed}"),
            TileRole::Right => format!("tile_{elem}_right{transposed}"),
            TileRole::Sum => format!("tile_{elem}_sum"),
        }
    }
}

/// How the prelude's functions call an element that is not 32 bits wide.
fn suffix(elem: Elem) -> Option<&'static str> {
    match elem {
        Elem::F32 | Elem::U32 | Elem::I32 => None,
        Elem::F16 => Some("f16"),
        Elem::BF16 => Some("bf16"),
        Elem::U16 => Some("u16"),
        Elem::U8 => Some("u8"),
        Elem::I8 => Some("i8"),
    }
}

/// Which of group, thread, lane and simdgroup a block asks for.
fn builtins(block: &Block, used: &mut [bool; 4]) {
    for stmt in block {
        if let Kind::Let(_, Expr::Builtin(builtin)) = &stmt.kind {
            let which = match builtin {
                Builtin::Group(_) => 0,
                Builtin::Thread => 1,
                Builtin::Lane => 2,
                Builtin::Simdgroup => 3,
            };
            used[which] = true;
        }
        stmt.kind.blocks().for_each(|block| builtins(block, used));
    }
}
