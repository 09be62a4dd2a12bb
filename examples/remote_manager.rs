//! A manager for other machines: TCP, a key that both sides know, and a lock that can tell late holders.
//!
//! `cargo run --example remote_manager --features manager`; with a server elsewhere: `procshare serve tcp:0.0.0.0:7070 --key-file key` there,
//! and `... --example remote_manager --features manager -- tcp:HOST:7070 key` here.

use procshare::manager::{Address, Dict, Key, Lock, Manager, ManagerError, Server};

fn visit(address: &Address, key: Key) -> Result<(), Box<dyn std::error::Error>> {
    let manager = Manager::builder().key(key).connect(address)?;
    let visits = Dict::<String, u64>::open_or_create(&manager, "visits")?;
    let lock = Lock::open_or_create(&manager, "turn")?;
    let guard = lock.lock()?;
    let count = visits.add("all", &1)?;
    // Whoever gets the lock later has a greater number: what it protects can refuse those that come too late.
    println!("visit {count} with fence {}", guard.fence());
    guard.unlock()?; // an error here would say that the connection, and with it the lock, was lost meanwhile
    Ok(())
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [address, key] = &arguments[..] {
        return visit(&address.parse()?, Key::from_file(key)?);
    }
    let key = Key::new(*b"32 bytes that nobody can guess..")?;
    let server = Server::builder().address("tcp:127.0.0.1:0".parse()?).key(key.clone()).bind()?;
    let (address, handle) = (server.addresses()[0].clone(), server.handle());
    let running = std::thread::spawn(move || server.run());

    visit(&address, key.clone())?;
    visit(&address, key)?;
    let stranger = Manager::builder().key(Key::new(*b"32 bytes that are not the key...")?).connect(&address);
    match stranger {
        Err(ManagerError::Refused { reason, .. }) => println!("a stranger was refused: {reason}"),
        other => println!("a stranger got {other:?}"),
    }
    handle.shutdown();
    running.join().expect("the server does not panic")?;
    Ok(())
}
