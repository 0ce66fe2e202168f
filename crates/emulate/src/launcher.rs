//! C++ that calls printed kernels, written from what their programs say of themselves.

use std::fmt::Write;

use tessera_tile::{
    Program,
    ir::{Access, Elem},
    print,
};

use crate::Language;

/// The file that is compiled: the printed text, all of its functions inlined, then for each kernel a function without
/// parameters, and the addresses of its shared arrays.
pub(crate) fn unit(language: Language, programs: &[Program]) -> String {
    let mut text = format!(
        "#pragma clang attribute push(__attribute__((always_inline)), apply_to = function)\n\
         #include \"{}\"\n\
         #pragma clang attribute pop\n\n",
        language.file()
    );
    for program in programs {
        let name = &program.name;
        let arguments = arguments(language, program).join(",\n        ");
        _ = write!(
            text,
            "extern \"C\" void emu_run_{name}();\n\
             extern \"C\" void emu_run_{name}() {{\n    {name}(\n        {arguments});\n}}\n"
        );
        if program.shared.is_empty() {
            continue;
        }
        // The arrays are the function's own; only the assembler can name them from outside.
        let names = print::shared_names(program);
        let symbols = names.iter().map(|array| local_symbol(name, array));
        let symbols = symbols.collect::<Vec<_>>().join(", ");
        _ = writeln!(
            text,
            "__asm__(\".pushsection .data.rel.ro, \\\"aw\\\"\\n\"\n\
             \"    .balign 8\\n\"\n\
             \"    .globl emu_shared_{name}\\n\"\n\
             \"emu_shared_{name}:\\n\"\n\
             \"    .quad {symbols}\\n\"\n\
             \"    .popsection\\n\");"
        );
    }
    text
}

/// The table that the runtime finds kernels in: C++ of its own.
pub(crate) fn table(programs: &[Program]) -> String {
    let mut text = String::from("#include \"kernel.h\"\n\n");
    let mut entries = String::new();
    for program in programs {
        let name = &program.name;
        _ = writeln!(text, "extern \"C\" void emu_run_{name}();");
        let (mut addresses, mut bytes) = ("nullptr".to_owned(), "nullptr".to_owned());
        if !program.shared.is_empty() {
            addresses = format!("emu_shared_{name}");
            bytes = format!("{name}_bytes");
            let sizes =
                program.shared.iter().map(|s| (s.len as usize * s.elem.bytes()).to_string());
            let sizes = sizes.collect::<Vec<_>>().join(", ");
            _ = writeln!(text, "extern \"C\" void* const {addresses}[];");
            _ = writeln!(text, "static const uint32_t {bytes}[] = {{{sizes}}};");
        }
        let Program { threads, buffers, fields, shared, .. } = program;
        _ = writeln!(
            entries,
            "    {{\"{name}\", emu_run_{name}, {threads}, {}, {}, {}, {addresses}, {bytes}}},",
            buffers.len(),
            fields.len(),
            shared.len(),
        );
    }
    _ = write!(
        text,
        "\nconst emu::Kernel emu::KERNELS[] = {{\n{entries}}};\n\
         const uint32_t emu::KERNEL_COUNT = {};\n",
        programs.len()
    );
    text
}

/// What a local variable of a C function is called in the object file, by the Itanium C++ ABI.
fn local_symbol(function: &str, variable: &str) -> String {
    format!("_ZZ{}{function}E{}{variable}", function.len(), variable.len())
}

fn arguments(language: Language, program: &Program) -> Vec<String> {
    let mut arguments = Vec::new();
    for (index, buffer) in program.buffers.iter().enumerate() {
        let constant = if buffer.access == Access::Read { "const " } else { "" };
        let (space, elem) = match language {
            Language::Metal => ("device ", metal_type(buffer.elem)),
            Language::Cuda => ("", cuda_type(buffer.elem)),
        };
        arguments.push(format!("({space}{constant}{elem}*)emu_buffer({index})"));
    }
    let name = &program.name;
    match language {
        Language::Metal => {
            if !program.fields.is_empty() {
                arguments.push(format!("*(constant {name}_args*)emu_arguments()"));
            }
            arguments.push("uint3(emu_group(0), emu_group(1), emu_group(2))".to_owned());
            arguments.extend(
                ["emu_thread()", "emu_thread() % 32", "emu_thread() / 32"].map(str::to_owned),
            );
        }
        Language::Cuda if !program.fields.is_empty() => {
            arguments.push(format!("*(const {name}_args*)emu_arguments()"));
        }
        Language::Cuda => {}
    }
    arguments
}

fn metal_type(elem: Elem) -> &'static str {
    match elem {
        Elem::F32 => "float",
        Elem::F16 => "half",
        Elem::U32 => "uint",
        Elem::I32 => "int",
        Elem::BF16 | Elem::U16 => "ushort",
        Elem::U8 => "uchar",
        Elem::I8 => "char",
    }
}

fn cuda_type(elem: Elem) -> &'static str {
    match elem {
        Elem::F32 => "float",
        Elem::F16 => "half",
        Elem::U32 => "unsigned int",
        Elem::I32 => "int",
        Elem::BF16 | Elem::U16 => "unsigned short",
        Elem::U8 => "unsigned char",
        Elem::I8 => "signed char",
    }
}
