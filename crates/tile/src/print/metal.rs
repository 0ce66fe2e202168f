//! What is Metal's own.

use crate::{
    Program,
    ir::{Access, AtomicOp, Collective, Elem, Memory, Scope, TileRole, Type, Unary},
};

use super::{
    dialect::{Dialect, Memories, arguments, type_name},
    text::Text,
};

/// Metal's shading language.
pub struct Metal;

impl Dialect for Metal {
    fn head(&self, program: &Program, memories: &Memories) -> Vec<String> {
        let mut parameters = Vec::new();
        for (i, buffer) in program.buffers.iter().enumerate() {
            let constant = if buffer.access == Access::Read { " const" } else { "" };
            let (elem, name) = (self.elem(buffer.elem), &memories.buffers[i]);
            parameters.push(format!("device{constant} {elem}* {name} [[buffer({i})]]"));
        }
        if !program.fields.is_empty() {
            let (name, place) = (&program.name, program.buffers.len());
            parameters.push(format!("constant {name}_args& args [[buffer({place})]]"));
        }
        parameters.extend([
            "uint3 group_index [[threadgroup_position_in_grid]]".into(),
            "uint thread_index [[thread_index_in_threadgroup]]".into(),
            "uint lane_index [[thread_index_in_simdgroup]]".into(),
            "uint simdgroup_index [[simdgroup_index_in_threadgroup]]".into(),
        ]);
        let mut lines = arguments(program, memories);
        lines.push(format!("[[max_total_threads_per_threadgroup({})]]", program.threads));
        lines.push(format!("kernel void {}(", program.name));
        let last = parameters.len() - 1;
        for (i, parameter) in parameters.into_iter().enumerate() {
            lines.push(format!("    {parameter}{}", if i < last { "," } else { ")" }));
        }
        lines.push("{".into());
        lines
    }

    fn beginning(&self, _: &Program) -> Vec<String> {
        Vec::new()
    }

    fn elem(&self, elem: Elem) -> &'static str {
        match elem {
            Elem::F32 => "float",
            Elem::F16 => "half",
            // bfloat needs a newer Metal than all else here
            Elem::BF16 | Elem::U16 => "ushort",
            Elem::U32 => "uint",
            Elem::I32 => "int",
            Elem::U8 => "uchar",
            Elem::I8 => "char",
        }
    }

    fn shared(&self, elem: Elem, name: &str, len: u32) -> String {
        format!("alignas(16) threadgroup {} {name}[{len}];", self.elem(elem))
    }

    fn widen_one(&self, elem: Elem, x: Text) -> Text {
        match elem {
            Elem::BF16 => Text::call("float_of_bfloat", &[&x]),
            Elem::F32 | Elem::U32 | Elem::I32 => x,
            _ => Text::call(type_name(elem.value()), &[&x]),
        }
    }

    fn narrow_one(&self, elem: Elem, x: &Text) -> Text {
        match elem {
            Elem::BF16 => Text::call("bfloat_of_float", &[x]),
            Elem::F32 | Elem::U32 | Elem::I32 => x.clone(),
            _ => Text::call(self.elem(elem), &[x]),
        }
    }

    fn wide(&self, elem: Elem, count: usize) -> String {
        match count {
            8 => format!("uint{}", 2 * elem.bytes()),
            _ => format!("{}{count}", self.elem(elem)),
        }
    }

    fn wide_at(&self, memory: Memory, wide: &str, constant: bool, address: &Text) -> String {
        let constant = if constant { " const" } else { "" };
        format!("*({}{constant} {wide}*)({})", space(memory), address.text)
    }

    fn half_of(&self, elem: Elem, whole: &str, upper: bool) -> String {
        let part = match (elem.bytes(), upper) {
            (1, false) => "x",
            (1, true) => "y",
            (_, false) => "xy",
            (_, true) => "zw",
        };
        format!("as_type<{}4>({whole}.{part})", self.elem(elem))
    }

    fn widen(&self, elem: Elem, count: usize, raw: &str) -> String {
        match elem {
            Elem::F32 | Elem::U32 | Elem::I32 => raw.into(),
            Elem::BF16 => format!("as_type<float{count}>(uint{count}({raw}) << 16)"),
            _ => format!("{}{count}({raw})", type_name(elem.value())),
        }
    }

    fn narrow(&self, elem: Elem, values: &[&Text]) -> String {
        let count = values.len();
        let of = |ty: &str| Text::call(&format!("{ty}{count}"), values).text;
        match elem {
            Elem::F32 | Elem::U32 | Elem::I32 => of(self.elem(elem)),
            Elem::BF16 => {
                let values: Vec<Text> = values.iter().map(|x| self.narrow_one(elem, x)).collect();
                let values: Vec<&Text> = values.iter().collect();
                Text::call(&format!("ushort{count}"), &values).text
            }
            _ => format!("{}{count}({})", self.elem(elem), of(type_name(elem.value()))),
        }
    }

    fn join(&self, elem: Elem, lower: &str, upper: &str) -> String {
        match elem.bytes() {
            1 => format!("uint2(as_type<uint>({lower}), as_type<uint>({upper}))"),
            _ => format!("uint4(as_type<uint2>({lower}), as_type<uint2>({upper}))"),
        }
    }

    fn unary(&self, op: Unary, x: &Text) -> Text {
        let function = match op {
            Unary::Exp => "precise::exp",
            Unary::Exp2 => "precise::exp2",
            Unary::Log => "precise::log",
            Unary::Sqrt => "precise::sqrt",
            Unary::Rsqrt => "precise::rsqrt",
            Unary::Sin => "precise::sin",
            Unary::Cos => "precise::cos",
            Unary::Tanh => "precise::tanh",
            Unary::Floor => "floor",
            Unary::Round => "rint",
            Unary::Popcount => "popcount",
            Unary::LeadingZeros => "clz",
            Unary::HalfBits => "float_of_half_bits",
            Unary::Neg | Unary::Not | Unary::Abs => "fabs",
        };
        Text::call(function, &[x])
    }

    fn extreme(&self, ty: Type, largest: bool, a: &Text, b: &Text) -> Text {
        let function = match (ty, largest) {
            (Type::F32, true) => "fmax",
            (Type::F32, false) => "fmin",
            (_, true) => "max",
            (_, false) => "min",
        };
        Text::call(function, &[a, b])
    }

    fn fma(&self, a: &Text, b: &Text, c: &Text) -> Text {
        Text::call("fma", &[a, b, c])
    }

    fn bits(&self, from: Type, to: Type, x: &Text) -> Text {
        match (from, to) {
            (Type::U32, Type::I32) => x.clone().int(),
            (Type::I32, Type::U32) => x.uint(),
            _ if from == to => x.clone(),
            _ => Text::call(&format!("as_type<{}>", type_name(to)), &[x]),
        }
    }

    /// Copies are done where they are begun.
    fn commit(&self) -> Option<String> {
        None
    }

    fn wait(&self, _: u32) -> Option<String> {
        None
    }

    fn barrier(&self, scope: Scope) -> &'static str {
        match scope {
            Scope::Shared => "threadgroup_barrier(mem_flags::mem_threadgroup);",
            Scope::All => {
                "threadgroup_barrier(mem_flags::mem_threadgroup | mem_flags::mem_device);"
            }
            Scope::Simdgroup => "simdgroup_barrier(mem_flags::mem_threadgroup);",
        }
    }

    fn collective(&self, op: Collective, ty: Type, value: &Text, lane: Option<&Text>) -> Text {
        match op {
            Collective::Sum => Text::call("sum_of_lanes", &[value]),
            Collective::Max => Text::call("simd_max", &[value]),
            Collective::Min => Text::call("simd_min", &[value]),
            Collective::Shuffle => {
                let lane = lane.map(|lane| Text::call("ushort", &[lane]));
                let lane = lane.unwrap_or_else(|| Text::atom("0"));
                Text::call("simd_shuffle", &[value, &lane])
            }
            Collective::ShuffleXor(mask) => {
                Text::call("simd_shuffle_xor", &[value, &Text::atom(mask.to_string())])
            }
            Collective::PrefixSum if ty == Type::I32 => {
                Text::call("simd_prefix_exclusive_sum", &[&value.uint()]).int()
            }
            Collective::PrefixSum if ty == Type::U32 => {
                Text::call("simd_prefix_exclusive_sum", &[value])
            }
            Collective::PrefixSum => {
                Text::call("sum_of_lanes_before", &[value, &Text::atom("lane_index")])
            }
            Collective::Ballot => Text::call("ballot_of_lanes", &[value]),
        }
    }

    fn atomic(&self, op: AtomicOp, memory: Memory, address: &Text, value: &Text) -> String {
        let op = match op {
            AtomicOp::Add => "add",
            AtomicOp::Max => "max",
            AtomicOp::Min => "min",
            AtomicOp::Or => "or",
        };
        let (space, address, value) = (space(memory), &address.text, &value.text);
        format!(
            "atomic_fetch_{op}_explicit(({space} atomic_uint*)({address}), {value}, memory_order_relaxed)"
        )
    }

    fn tile(&self, role: TileRole, elem: Elem, _: bool) -> String {
        match (role, elem) {
            (TileRole::Left | TileRole::Right, Elem::F16) => "tile_f16".into(),
            _ => "tile_f32".into(),
        }
    }
}

fn space(memory: Memory) -> &'static str {
    match memory {
        Memory::Buffer(_) => "device",
        Memory::Shared(_) => "threadgroup",
    }
}
