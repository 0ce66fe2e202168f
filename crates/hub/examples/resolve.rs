//! Resolves one model name and prints every event:
//! `cargo run -p tessera-hub --example resolve smollm2`

use tessera_hub::{DEFAULT_MODEL, Hub, HubOptions};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), tessera_hub::Error> {
    let name = std::env::args().nth(1).unwrap_or_else(|| DEFAULT_MODEL.to_owned());
    let hub = Hub::new(HubOptions::from_environment()?);
    let name = hub.parse(&name)?;
    let start = std::time::Instant::now();
    let model = hub
        .resolve(&name, &|event| println!("{:7.3} s  {event:?}", start.elapsed().as_secs_f64()))
        .await?;
    println!("{}\nfrom {}, {} bytes", model.path.display(), model.source, model.bytes);
    Ok(())
}
