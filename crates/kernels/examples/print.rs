//! Prints a kernel: `print metal` or `print cuda`, and times it in the simulator: `print time`.

use tessera_kernels::{
    codes::Matrix,
    end::End,
    matvec::{Matvec, MatvecArgs},
};
use tessera_quant::{Float, Packing};
use tessera_tile::{
    Arguments, Record, Spec, print,
    sim::{Binding, Checks, Kernel, Memory},
};

fn main() {
    let packing = Packing::Affine { bits: 4, group: 64, scale: Float::F16 };
    let kernel = Matvec {
        matrix: Matrix { form: packing.form() },
        rows: 2,
        simdgroups: 4,
        batch: 1,
        split: 1,
        blocks: 32,
        turns: 4,
        ragged: false,
        norm: false,
        bias: false,
        end: End::Parts(1),
    };
    let program = kernel.record().expect("records");
    match std::env::args().nth(1).as_deref() {
        Some("metal") => print!("{}{}", print::metal_prelude(), print::metal(&program)),
        Some("cuda") => print!("{}{}", print::cuda_prelude(), print::cuda(&program)),
        _ => {
            let args = MatvecArgs { rows: 4096, cols: 4096, vectors: 1, ..Default::default() };
            let matrix = kernel.matrix;
            let planes: Vec<_> =
                matrix.plane_bytes(4096, 4096).into_iter().map(Memory::zeroed).collect();
            let (x, y) = (Memory::zeroed(4096 * 4), Memory::zeroed(4096 * 4));
            let bindings: Vec<_> =
                [&x].into_iter().chain(&planes).chain([&y]).map(Binding::all).collect();
            let ready = Kernel::new(program);
            let start = std::time::Instant::now();
            let counts = ready.launch(kernel.grid(&args), &args.words(), &bindings, Checks::Access);
            println!("{:?} in {:?}", counts, start.elapsed());
        }
    }
}
