//! The fake notes what indirect commands, events and lent memory may not be; see `rules.rs`.

mod common;

use std::{ptr::NonNull, sync::Arc};

use block2::RcBlock;
use common::programs;
use fake_metal::{Settings, World};
use objc2::{
    rc::{Retained, autoreleasepool},
    runtime::ProtocolObject,
};
use objc2_foundation::{NSRange, NSString};
use objc2_metal::*;
use tessera_tile::print;

type Of<T> = Retained<ProtocolObject<T>>;

/// What is needed to break rules: a command buffer, and two indirect commands that take the norm of a buffer.
struct Bench {
    world: Arc<World>,
    device: Of<dyn MTLDevice>,
    queue: Of<dyn MTLCommandQueue>,
    pipeline: Of<dyn MTLComputePipelineState>,
    buffer: Of<dyn MTLBuffer>,
    args: Of<dyn MTLBuffer>,
    commands: Of<dyn MTLIndirectCommandBuffer>,
}

const ONE: MTLSize = MTLSize { width: 1, height: 1, depth: 1 };
const SHARED: MTLResourceOptions = MTLResourceOptions::StorageModeShared;

fn descriptor(places: usize) -> Retained<MTLIndirectCommandBufferDescriptor> {
    let descriptor = MTLIndirectCommandBufferDescriptor::new();
    descriptor.setCommandTypes(MTLIndirectCommandType::ConcurrentDispatch);
    descriptor.setInheritBuffers(false);
    descriptor.setInheritPipelineState(false);
    descriptor.setMaxKernelBufferBindCount(places);
    descriptor
}

impl Bench {
    fn new(settings: Settings, indirect: bool) -> Self {
        autoreleasepool(|_| {
            let macos = settings.macos;
            let world = World::enter(settings);
            let program = &programs()[0];
            world.know(std::slice::from_ref(program));
            let device = MTLCreateSystemDefaultDevice().unwrap();
            let options = MTLCompileOptions::new();
            options.setLanguageVersion(MTLLanguageVersion::Version3_0);
            match macos {
                15.. => options.setMathMode(MTLMathMode::Safe),
                #[allow(deprecated)]
                _ => options.setFastMathEnabled(false),
            }
            let text = format!("{}{}", print::metal_prelude(), print::metal(program));
            let text = NSString::from_str(&text);
            let library = device.newLibraryWithSource_options_error(&text, Some(&options)).unwrap();
            let made = MTLComputePipelineDescriptor::new();
            let function = library.newFunctionWithName(&NSString::from_str(&program.name)).unwrap();
            made.setComputeFunction(Some(&function));
            made.setMaxTotalThreadsPerThreadgroup(64);
            made.setSupportIndirectCommandBuffers(indirect);
            let none = MTLPipelineOption::None;
            let pipeline = device
                .newComputePipelineStateWithDescriptor_options_reflection_error(&made, none, None)
                .unwrap();
            let buffer = device.newBufferWithLength_options(4096, SHARED).unwrap();
            let args = device.newBufferWithLength_options(256, SHARED).unwrap();
            let words: [u32; 5] = [96, 1, 1, 0, 0];
            // SAFETY: the first 20 of 256 bytes
            unsafe { args.contents().cast::<[u32; 5]>().write(words) };
            let queue = device.newCommandQueue().unwrap();
            // SAFETY: two
            let commands = unsafe {
                device.newIndirectCommandBufferWithDescriptor_maxCommandCount_options(
                    &descriptor(4),
                    2,
                    SHARED,
                )
            };
            let commands = commands.unwrap();
            Self { world, device, queue, pipeline, buffer, args, commands }
        })
    }

    /// Command `i`, to be changed.
    fn command(&self, i: usize) -> Of<dyn MTLIndirectComputeCommand> {
        // SAFETY: what is wrong is what the fake is to find
        unsafe { self.commands.indirectComputeCommandAtIndex(i) }
    }

    fn bind(&self, i: usize, buffer: &ProtocolObject<dyn MTLBuffer>, offset: usize, place: usize) {
        // SAFETY: as above
        unsafe { self.command(i).setKernelBuffer_offset_atIndex(buffer, offset, place) };
    }

    /// Encodes command `i`: from place `i` of the buffer to the next.
    fn encode(&self, i: usize, barrier: bool) {
        let command = self.command(i);
        command.setComputePipelineState(&self.pipeline);
        for (place, at) in [i, 7, i + 1].into_iter().enumerate() {
            self.bind(i, &self.buffer, 512 * at, place);
        }
        self.bind(i, &self.args, 0, 3);
        if barrier {
            command.setBarrier();
        }
        let threads = MTLSize { width: 64, ..ONE };
        command.concurrentDispatchThreadgroups_threadsPerThreadgroup(ONE, threads);
    }

    /// Encodes both, the second one to see what the first one did or not.
    fn encode_both(&self, barrier: bool) {
        self.encode(0, false);
        self.encode(1, barrier);
    }

    /// A step that runs the first `count` commands, `declared` beforehand.
    fn step(
        &self,
        declared: &[(&Of<dyn MTLBuffer>, MTLResourceUsage)],
        count: usize,
    ) -> Of<dyn MTLCommandBuffer> {
        let step = self.queue.commandBuffer().unwrap();
        let encoder =
            step.computeCommandEncoderWithDispatchType(MTLDispatchType::Concurrent).unwrap();
        for (buffer, usage) in declared {
            encoder.useResource_usage(ProtocolObject::from_ref(&***buffer), *usage);
        }
        // SAFETY: what is wrong is what the fake is to find
        unsafe {
            encoder.executeCommandsInBuffer_withRange(&self.commands, NSRange::new(0, count))
        };
        encoder.endEncoding();
        step
    }

    fn run(&self, declared: &[(&Of<dyn MTLBuffer>, MTLResourceUsage)]) -> Result<(), String> {
        let step = self.step(declared, 2);
        step.commit();
        step.waitUntilCompleted();
        match step.status() {
            MTLCommandBufferStatus::Completed => Ok(()),
            _ => Err(step.error().unwrap().localizedDescription().to_string()),
        }
    }

    /// Asserts that this was noted, and first.
    fn noted(&self, what: &str) {
        let violations = self.world.violations();
        assert!(violations.first().is_some_and(|first| first.contains(what)), "{violations:?}");
    }
}

fn mac(macos: u32) -> Settings {
    Settings { macos, ..Settings::default() }
}

fn both() -> MTLResourceUsage {
    MTLResourceUsage::Read | MTLResourceUsage::Write
}

#[test]
fn what_is_declared_may_be_used() {
    autoreleasepool(|_| {
        let bench = Bench::new(mac(14), true);
        bench.encode_both(true);
        let (all, read) = (both(), MTLResourceUsage::Read);
        assert_eq!(bench.run(&[(&bench.buffer, all), (&bench.args, read)]), Ok(()));
        for declared in [
            &[][..],
            &[(&bench.buffer, all)],
            &[(&bench.args, all)],
            &[(&bench.buffer, read), (&bench.args, all)],
        ] {
            let fault = bench.run(declared).unwrap_err();
            assert!(fault.contains("a page fault") && fault.contains("rms_norm"), "{fault}");
        }
        assert_eq!(bench.world.violations(), [""; 0]);
    });
}

#[test]
fn what_a_committed_set_of_the_queue_holds_may_be_used() {
    for missing in 0..5 {
        autoreleasepool(|_| {
            let bench = Bench::new(mac(15), true);
            bench.encode_both(true);
            let descriptor = MTLResidencySetDescriptor::new();
            let set = bench.device.newResidencySetWithDescriptor_error(&descriptor).unwrap();
            let add = |buffer: &Of<dyn MTLBuffer>| {
                set.addAllocation(ProtocolObject::from_ref(&**buffer));
            };
            if missing != 1 {
                add(&bench.buffer);
            }
            if missing != 2 {
                add(&bench.args);
            }
            if missing != 3 {
                set.commit();
            }
            if missing != 4 {
                bench.queue.addResidencySet(&set);
            }
            assert_eq!(bench.run(&[]).is_ok(), missing == 0, "missing: {missing}");
            set.removeAllocation(ProtocolObject::from_ref(&*bench.buffer));
            if missing == 0 {
                assert_eq!(bench.run(&[]), Ok(()), "until it is committed");
                set.commit();
                assert!(bench.run(&[]).unwrap_err().contains("not resident"));
            }
        });
    }
}

/// Results of two commands, the second of which reads what the first one writes, in 12 orders.
fn results(barrier: bool) -> usize {
    let of = |seed: u64| {
        autoreleasepool(|_| {
            let bench = Bench::new(Settings { seed, ..mac(14) }, true);
            bench.encode_both(barrier);
            let ramp = |sign: f32| std::array::from_fn::<f32, 96, _>(|i| sign * i as f32);
            let numbers = |at: usize| {
                // SAFETY: within the buffer's 4096 bytes
                unsafe { bench.buffer.contents().cast::<[f32; 96]>().byte_add(512 * at) }
            };
            for (at, sign) in [(0, 2.0), (1, -1.0), (7, 1.0)] {
                // SAFETY: as above
                unsafe { numbers(at).write(ramp(sign)) };
            }
            bench.run(&[(&bench.buffer, both()), (&bench.args, both())]).unwrap();
            assert_eq!(bench.world.violations(), [""; 0]);
            // SAFETY: as above
            let made = unsafe { numbers(2).read() };
            made[95].to_bits()
        })
    };
    let mut all: Vec<u32> = (1..=12).map(of).collect();
    all.sort_unstable();
    all.dedup();
    all.len()
}

#[test]
fn commands_without_a_barrier_run_in_any_order() {
    assert_eq!(results(true), 1);
    assert_eq!(results(false), 2);
}

macro_rules! broken {
    ($($name:ident: $what:literal, |$bench:ident| $body:block)*) => {
        $(
            #[test]
            fn $name() {
                let $bench = Bench::new(mac(14), true);
                autoreleasepool(|_| $body);
                $bench.noted($what);
            }
        )*
    };
}

broken! {
    a_command_that_is_not_there: "indirect command 2", |bench| {
        // SAFETY: what is wrong is what the fake is to find
        let command: Option<_> = unsafe { objc2::msg_send![&*bench.commands, indirectComputeCommandAtIndex: 2usize] };
        assert!(command.is_none_or(|_: Of<dyn MTLIndirectComputeCommand>| false));
    }
    more_commands_than_there_are: "commands up to 3 of 2", |bench| {
        drop(bench.step(&[], 3));
    }
    a_command_without_a_dispatch: "without a dispatch", |bench| {
        bench.encode(0, false);
        bench.command(1).setComputePipelineState(&bench.pipeline);
        drop(bench.step(&[], 2));
    }
    a_command_without_a_pipeline: "without a pipeline", |bench| {
        drop(bench.step(&[], 1));
    }
    a_place_too_many: "place 4 of 4", |bench| {
        bench.bind(0, &bench.buffer, 0, 4);
    }
    an_offset_beyond_the_end: "4096 of 4096 bytes", |bench| {
        bench.bind(0, &bench.buffer, 4096, 0);
    }
    arguments_where_constants_may_not_lie: "an argument struct at 16", |bench| {
        bench.encode(0, false);
        bench.bind(0, &bench.args, 16, 3);
        drop(bench.step(&[], 1));
    }
    a_change_while_the_gpu_works: "changed while the GPU works", |bench| {
        bench.encode_both(true);
        let step = bench.step(&[(&bench.buffer, both()), (&bench.args, both())], 2);
        step.commit();
        bench.command(0).setBarrier();
        step.waitUntilCompleted();
    }
    commands_that_inherit_what_is_bound: "indirect commands that cannot be", |bench| {
        let descriptor = descriptor(4);
        descriptor.setInheritBuffers(true);
        // SAFETY: what is wrong is what the fake is to find
        let made = unsafe {
            bench.device.newIndirectCommandBufferWithDescriptor_maxCommandCount_options(&descriptor, 2, SHARED)
        };
        assert!(made.is_none());
    }
    too_many_commands: "16385 indirect commands", |bench| {
        // SAFETY: as above
        let made = unsafe {
            bench.device.newIndirectCommandBufferWithDescriptor_maxCommandCount_options(&descriptor(4), 16385, SHARED)
        };
        assert!(made.is_none());
    }
    a_signal_of_an_open_encoder: "a signal beside an open encoder", |bench| {
        let step = bench.queue.commandBuffer().unwrap();
        let encoder =
            step.computeCommandEncoderWithDispatchType(MTLDispatchType::Concurrent).unwrap();
        let event = bench.device.newSharedEvent().unwrap();
        step.encodeSignalEvent_value(ProtocolObject::from_ref(&*event), 1);
        encoder.endEncoding();
    }
    a_signal_that_goes_back: "an event goes back", |bench| {
        let event = bench.device.newSharedEvent().unwrap();
        for value in [2, 1] {
            let step = bench.queue.commandBuffer().unwrap();
            step.encodeSignalEvent_value(ProtocolObject::from_ref(&*event), value);
            step.commit();
            step.waitUntilCompleted();
        }
    }
    memory_of_no_whole_pages: "not whole pages", |bench| {
        let at = NonNull::from(&bench).cast();
        let nothing = RcBlock::new(|_, _| {});
        // SAFETY: as above
        let made = unsafe {
            bench.device.newBufferWithBytesNoCopy_length_options_deallocator(at, 100, SHARED, Some(&nothing))
        };
        assert!(made.is_none());
    }
    a_residency_set_of_an_old_system: "before macOS 15", |bench| {
        drop(bench.device.newResidencySetWithDescriptor_error(&MTLResidencySetDescriptor::new()));
    }
}

#[test]
fn a_pipeline_for_direct_dispatches_alone() {
    let bench = Bench::new(mac(14), false);
    autoreleasepool(|_| bench.command(0).setComputePipelineState(&bench.pipeline));
    bench.noted("none for indirect commands");
}

#[test]
fn memory_that_is_gone() {
    let bench = Bench::new(mac(14), true);
    autoreleasepool(|_| bench.encode_both(true));
    let Bench { world, queue, buffer, args, commands, .. } = bench;
    let encoder = |step: &ProtocolObject<dyn MTLCommandBuffer>| {
        let encoder =
            step.computeCommandEncoderWithDispatchType(MTLDispatchType::Concurrent).unwrap();
        for buffer in [&buffer, &args] {
            encoder.useResource_usage(ProtocolObject::from_ref(&**buffer), both());
        }
        // SAFETY: both commands
        unsafe { encoder.executeCommandsInBuffer_withRange(&commands, NSRange::new(0, 2)) };
        encoder.endEncoding();
    };
    let step = autoreleasepool(|_| {
        let step = queue.commandBuffer().unwrap();
        encoder(&step);
        step.commit();
        step
    });
    drop(buffer);
    autoreleasepool(|_| step.waitUntilCompleted());
    assert_eq!(world.violations(), ["what indirect commands use is released while they run"]);
    // what holds it to the end of the step is gone, too
    drop(step);
    autoreleasepool(|_| {
        let step = queue.commandBuffer().unwrap();
        let encoder =
            step.computeCommandEncoderWithDispatchType(MTLDispatchType::Concurrent).unwrap();
        // SAFETY: what is wrong is what the fake is to find
        unsafe { encoder.executeCommandsInBuffer_withRange(&commands, NSRange::new(0, 2)) };
        encoder.endEncoding();
    });
    assert_eq!(world.violations()[1], "an indirect command's buffer is released");
}
