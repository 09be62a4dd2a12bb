//! Prices go to everybody who listens: who is quick hears all, who is slow is told how many it missed, and nobody waits for it.
//!
//! `cargo run --example ticker`

use std::io::Read;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use procshare::{Broadcast, BroadcastInit, Handle, RecvError};

const PRICES: u64 = 20_000;

/// A price and when it was made: two numbers that belong together.
type Price = [u64; 2];

/// Listens until the broadcast ends; every price was heard or counted.
fn listen(prices: &Broadcast<Price>, slow: bool) -> Result<(), Box<dyn std::error::Error>> {
    let mut ticker = prices.subscribe()?;
    println!("ready");
    let (mut heard, mut missed) = (0, 0);
    loop {
        match ticker.recv() {
            Ok([price, number]) => {
                assert!(price == number * 3 && number == heard + missed, "torn, or out of order");
                heard += 1;
            }
            Err(RecvError::Missed(count)) => missed += count,
            Err(RecvError::Closed) => break,
            Err(other) => return Err(other.into()),
        }
        if slow && heard % 100 == 0 {
            std::thread::sleep(Duration::from_millis(2));
        }
    }
    assert_eq!(heard + missed, PRICES);
    Ok(())
}

fn start(prices: &Broadcast<Price>, how: &str) -> Result<Child, Box<dyn std::error::Error>> {
    let handle = serde_json::to_string(prices)?;
    let mut child =
        Command::new(std::env::current_exe()?).args([&handle, how]).stdout(Stdio::piped()).spawn()?;
    child.stdout.as_mut().ok_or("no pipe")?.read_exact(&mut [0; 5])?;
    Ok(child)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [handle, how] = &arguments[..] {
        return listen(&serde_json::from_str::<Handle<Broadcast<Price>>>(handle)?.attach()?, how == "slow");
    }
    // One that nobody may miss anything of would be `BroadcastInit::new(256).wait_for_subscribers(8)`.
    let prices = Broadcast::<Price>::anonymous(BroadcastInit::new(256))?;
    let listeners = [start(&prices, "quick")?, start(&prices, "slow")?];
    (0..PRICES).try_for_each(|number| prices.publish([number * 3, number]))?;
    prices.close()?;
    let well = listeners.into_iter().all(|mut listener| listener.wait().is_ok_and(|end| end.success()));
    println!("{PRICES} prices, every one heard or counted: {well}");
    if well { Ok(()) } else { Err("a listener was told something wrong".into()) }
}
