//! The fake notes what Metal would abort for: otherwise nothing would be proven by its silence.

mod common;

use std::{ptr::NonNull, sync::Arc};

use common::programs;
use fake_metal::{Settings, World};
use objc2::{
    rc::{Retained, autoreleasepool},
    runtime::ProtocolObject,
};
use objc2_foundation::NSString;
use objc2_metal::*;
use tessera_tile::print;

type Encoder = Retained<ProtocolObject<dyn MTLComputeCommandEncoder>>;
type Commands = Retained<ProtocolObject<dyn MTLCommandBuffer>>;

/// What is needed to break rules.
struct Bench {
    world: Arc<World>,
    device: Retained<ProtocolObject<dyn MTLDevice>>,
    commands: Commands,
    encoder: Encoder,
    /// The `rms_norm` of [`programs`], of 64 threads.
    pipeline: Retained<ProtocolObject<dyn MTLComputePipelineState>>,
    buffer: Retained<ProtocolObject<dyn MTLBuffer>>,
}

impl Bench {
    fn new() -> Self {
        autoreleasepool(|_| {
            let world = World::enter(Settings::default());
            let program = &programs()[0];
            world.know(std::slice::from_ref(program));
            let device = MTLCreateSystemDefaultDevice().unwrap();
            let options = MTLCompileOptions::new();
            options.setLanguageVersion(MTLLanguageVersion::Version3_0);
            options.setMathMode(MTLMathMode::Safe);
            let text = format!("{}{}", print::metal_prelude(), print::metal(program));
            let text = NSString::from_str(&text);
            let library = device.newLibraryWithSource_options_error(&text, Some(&options)).unwrap();
            let function = library.newFunctionWithName(&NSString::from_str(&program.name)).unwrap();
            let descriptor = MTLComputePipelineDescriptor::new();
            descriptor.setComputeFunction(Some(&function));
            descriptor.setMaxTotalThreadsPerThreadgroup(64);
            let pipeline = device
                .newComputePipelineStateWithDescriptor_options_reflection_error(
                    &descriptor,
                    MTLPipelineOption::None,
                    None,
                )
                .unwrap();
            let shared = MTLResourceOptions::StorageModeShared;
            let buffer = device.newBufferWithLength_options(4096, shared).unwrap();
            let commands = device.newCommandQueue().unwrap().commandBuffer().unwrap();
            let encoder = commands
                .computeCommandEncoderWithDispatchType(MTLDispatchType::Concurrent)
                .unwrap();
            Self { world, device, commands, encoder, pipeline, buffer }
        })
    }

    fn bind(&self, offset: usize, i: usize) {
        // SAFETY: what is wrong with these is what the fake is to find; it checks all
        unsafe { self.encoder.setBuffer_offset_atIndex(Some(&self.buffer), offset, i) };
    }

    fn bytes(&self, bytes: &[u8], i: usize) {
        let at = NonNull::from(bytes).cast();
        // SAFETY: that many bytes are there
        unsafe { self.encoder.setBytes_length_atIndex(at, bytes.len(), i) };
    }

    /// Binds all that the kernel needs.
    fn prepare(&self) {
        self.encoder.setComputePipelineState(&self.pipeline);
        (0..3).for_each(|i| self.bind(512 * i, i));
        let args: Vec<u8> = [96u32, 1, 1, 0, 0].iter().flat_map(|x| x.to_le_bytes()).collect();
        self.bytes(&args, 3);
    }

    fn dispatch(&self, threads: usize) {
        let one = MTLSize { width: 1, height: 1, depth: 1 };
        let threads = MTLSize { width: threads, ..one };
        self.encoder.dispatchThreadgroups_threadsPerThreadgroup(one, threads);
    }

    /// Asserts that exactly this was noted.
    fn noted(&self, what: &str) {
        let violations = self.world.violations();
        assert!(violations.len() == 1 && violations[0].contains(what), "{violations:?}");
    }
}

macro_rules! broken {
    ($($name:ident: $what:literal, |$bench:ident| $body:block)*) => {
        $(
            #[test]
            fn $name() {
                let $bench = Bench::new();
                autoreleasepool(|_| $body);
                $bench.noted($what);
            }
        )*
    };
}

broken! {
    a_second_commit: "a second commit", |bench| {
        bench.encoder.endEncoding();
        bench.commands.commit();
        bench.commands.commit();
        bench.commands.waitUntilCompleted();
    }
    encoding_after_the_end: "a dispatch after endEncoding", |bench| {
        bench.prepare();
        bench.encoder.endEncoding();
        bench.dispatch(64);
    }
    a_second_end: "endEncoding after endEncoding", |bench| {
        bench.encoder.endEncoding();
        bench.encoder.endEncoding();
    }
    an_open_encoder: "a commit with an open encoder", |bench| {
        bench.commands.commit();
        bench.encoder.endEncoding();
    }
    two_open_encoders: "takes none", |bench| {
        assert!(bench.commands.computeCommandEncoderWithDispatchType(MTLDispatchType::Serial).is_none());
        bench.encoder.endEncoding();
    }
    a_wait_before_the_commit: "a wait before the commit", |bench| {
        bench.encoder.endEncoding();
        bench.commands.waitUntilCompleted();
    }
    a_place_too_many: "place 31 of 31", |bench| {
        bench.bind(0, 31);
        bench.encoder.endEncoding();
    }
    an_unaligned_offset: "an offset of 8 of 4096", |bench| {
        bench.bind(8, 0);
        bench.encoder.endEncoding();
    }
    an_offset_beyond_the_end: "an offset of 4096 of 4096", |bench| {
        bench.bind(4096, 0);
        bench.encoder.endEncoding();
    }
    odd_bytes: "setBytes of 6 bytes", |bench| {
        bench.bytes(&[0; 6], 0);
        bench.encoder.endEncoding();
    }
    too_many_bytes: "setBytes of 4100 bytes", |bench| {
        bench.bytes(&[0; 4100], 0);
        bench.encoder.endEncoding();
    }
    too_many_threads: "2048 threads", |bench| {
        bench.prepare();
        bench.dispatch(2048);
        bench.encoder.endEncoding();
    }
    no_pipeline: "a dispatch without a pipeline", |bench| {
        bench.dispatch(64);
        bench.encoder.endEncoding();
    }
    no_buffer: "no buffer is bound for x", |bench| {
        bench.encoder.setComputePipelineState(&bench.pipeline);
        bench.dispatch(64);
        bench.encoder.endEncoding();
    }
    no_arguments: "no argument struct", |bench| {
        bench.encoder.setComputePipelineState(&bench.pipeline);
        (0..3).for_each(|i| bench.bind(512 * i, i));
        bench.dispatch(64);
        bench.encoder.endEncoding();
    }
    a_barrier_for_nothing: "a barrier that is none", |bench| {
        bench.encoder.memoryBarrierWithScope(MTLBarrierScope::Textures);
        bench.encoder.endEncoding();
    }
    other_options: "other options", |bench| {
        bench.encoder.endEncoding();
        let text = NSString::from_str(print::metal_prelude());
        let fast = MTLCompileOptions::new();
        fast.setLanguageVersion(MTLLanguageVersion::Version3_0);
        fast.setMathMode(MTLMathMode::Fast);
        bench.device.newLibraryWithSource_options_error(&text, Some(&fast)).unwrap();
    }
    a_write_while_the_gpu_works: "the host wrote", |bench| {
        bench.prepare();
        bench.dispatch(64);
        bench.encoder.endEncoding();
        bench.commands.commit();
        // SAFETY: the first of 4096 bytes
        unsafe { bench.buffer.contents().cast::<u8>().write(1) };
        bench.commands.waitUntilCompleted();
    }
    a_message_to_a_released_object: "length is sent to a released object", |bench| {
        bench.encoder.endEncoding();
        let shared = MTLResourceOptions::StorageModeShared;
        let gone = bench.device.newBufferWithLength_options(64, shared).unwrap();
        let raw: *const ProtocolObject<dyn MTLBuffer> = &*gone;
        drop(gone);
        // SAFETY: the fake never frees the memory of its objects
        assert_eq!(unsafe { &*raw }.length(), 0);
    }
    a_release_too_many: "released once too often", |bench| {
        bench.encoder.endEncoding();
        let shared = MTLResourceOptions::StorageModeShared;
        let buffer = bench.device.newBufferWithLength_options(64, shared).unwrap();
        let raw = Retained::into_raw(buffer);
        // SAFETY: the fake never frees the memory of its objects
        unsafe { [Retained::from_raw(raw), Retained::from_raw(raw)] };
    }
}

#[test]
fn an_encoder_is_released_open() {
    let bench = Bench::new();
    let Bench { world, commands, encoder, .. } = bench;
    drop((commands, encoder));
    assert_eq!(world.violations(), ["an encoder is released before endEncoding"]);
}

#[test]
fn an_object_outside_of_every_pool() {
    let bench = Bench::new();
    bench.encoder.endEncoding();
    drop(bench.device.name());
    bench.noted("outside of every autorelease pool");
}

#[test]
fn a_read_before_the_end_finds_poison() {
    let bench = Bench::new();
    autoreleasepool(|_| {
        bench.prepare();
        bench.dispatch(64);
        bench.encoder.endEncoding();
        let first = || {
            // SAFETY: the first of 4096 bytes, which are all there
            unsafe { bench.buffer.contents().cast::<u8>().read() }
        };
        assert_eq!(first(), 0);
        bench.commands.commit();
        assert_eq!(first(), fake_metal::POISON);
        bench.commands.waitUntilCompleted();
        assert_eq!(first(), 0);
    });
    assert_eq!(bench.world.violations(), [""; 0]);
}
