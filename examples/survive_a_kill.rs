//! A process is killed while it holds a lock and edits a value. The next one gets both, and is told.
//!
//! `cargo run --example survive_a_kill`

use std::io::Read;
use std::process::{Command, Stdio};
use std::time::Instant;

use procshare::{Handle, Lock, LockError, Value};

type Pair = (Handle<Lock>, Handle<Value<u64>>);

fn main() -> Result<(), Box<dyn std::error::Error>> {
    if let Some(handles) = std::env::args().nth(1) {
        let (lock, balance): Pair = serde_json::from_str(&handles)?;
        let (lock, balance) = (lock.attach()?, balance.attach()?);
        let _guard = lock.lock()?;
        balance.set(150)?; // committed: this will stay
        let mut draft = balance.lock()?;
        *draft = 0; // not committed: this will never have been
        println!("ready");
        loop {
            std::thread::park(); // until the kill
        }
    }

    let lock = Lock::anonymous()?;
    let balance = Value::anonymous(100u64)?;
    let handles = serde_json::to_string(&(&lock, &balance))?;
    let mut child = Command::new(std::env::current_exe()?).arg(handles).stdout(Stdio::piped()).spawn()?;
    child.stdout.take().ok_or("no pipe")?.read_exact(&mut [0; 6])?;
    assert!(matches!(lock.try_lock(), Err(LockError::WouldBlock)));
    child.kill()?;

    let killed = Instant::now();
    match lock.lock() {
        Err(LockError::OwnerDied(outcome)) => {
            println!("recovered {:?} after the kill", killed.elapsed());
            println!("the balance is {}", balance.get()?);
            assert_eq!(balance.get()?, 150);
            outcome.into_guard().make_consistent();
        }
        other => return Err(format!("expected to be told, got {other:?}").into()),
    }
    drop(lock.lock()?); // a plain guard again
    child.wait()?;
    Ok(())
}
