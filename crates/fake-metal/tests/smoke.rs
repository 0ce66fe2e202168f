use fake_metal::{Settings, World, metal::Metal};
use tessera_gpu::device::Device;
#[test]
fn opens() {
    let world = World::enter(Settings::default());
    let mut metal = Metal::open(None).unwrap();
    let b = metal.allocate(100, "x").unwrap();
    drop(b);
    drop(metal);
    assert_eq!(world.violations(), Vec::<String>::new());
    assert_eq!(world.live(), 0);
}
