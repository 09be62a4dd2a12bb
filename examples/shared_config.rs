//! A configuration that several processes read and change while they run: values of any shape, under names.
//!
//! `cargo run --example shared_config --features manager`

use procshare::manager::{Event, Manager, Namespace};
use procshare::process::{Failure, Process};

#[procshare::task]
fn worker(address: String, number: u32) -> Result<String, Failure> {
    let manager = Manager::connect(&address.parse()?)?;
    let config = Namespace::open(&manager, "config")?;
    let changed = Event::open(&manager, "changed")?;
    config.add("workers", &1)?; // one step on the server: no worker is forgotten
    changed.wait()?;
    let hosts: Vec<String> = config.get("hosts")?.unwrap_or_default();
    Ok(format!("worker {number} uses {}", hosts.join(" and ")))
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // A server of our own, which ends with this program however that ends.
    let manager = Manager::start()?;
    let config = Namespace::create(&manager, "config")?;
    let changed = Event::create(&manager, "changed")?;
    config.set("hosts", &["old"])?;
    config.set("retries", &3)?;

    let address = manager.address().to_string();
    let workers: Vec<_> = (0..3)
        .map(|number| Process::start::<worker>((address.as_str(), number)))
        .collect::<Result<_, _>>()?;
    config.set("hosts", &["red", "blue"])?;
    changed.set()?;
    for worker in workers {
        println!("{}", worker.join()??);
    }
    println!("{} workers took part", config.get::<u32>("workers")?.unwrap_or(0));
    Ok(())
}
