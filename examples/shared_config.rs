//! A configuration that several processes read and change while they run: values of any shape, under names.
//!
//! `cargo run --example shared_config --features manager`

use procshare::manager::{Address, Event, Manager, Namespace};
use procshare::process::Process;

#[procshare::task]
fn worker(address: String, number: u32) -> String {
    let work = || -> procshare::Result<String> {
        let manager = Manager::connect(&address.parse::<Address>()?)?;
        let config = Namespace::open(&manager, "config")?;
        let changed = Event::open(&manager, "changed")?;
        config.add("workers", &1)?; // one step on the server: no worker is forgotten
        changed.wait()?;
        let hosts: Vec<String> = config.get("hosts")?.unwrap_or_default();
        Ok(format!("worker {number} uses {}", hosts.join(" and ")))
    };
    work().unwrap_or_else(|error| error.to_string())
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
        println!("{}", worker.join()?);
    }
    println!("{} workers took part", config.get::<u32>("workers")?.unwrap_or(0));
    Ok(())
}
