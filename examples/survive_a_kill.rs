//! A process is killed while it holds a lock and edits a value. The next one gets both, and is told.
//!
//! `cargo run --example survive_a_kill`

use std::io::Read;
use std::process::{Command, Stdio};
use std::time::Instant;

use procshare::{Handle, Lock, LockError, Value};

type Pair = (Handle<Lock>, Handle<Value<u64>>);

fn hold_until_killed(lock: &Lock, balance: &Value<u64>) -> procshare::Result<()> {
    let _guard = lock.lock()?;
    balance.set(150)?; // committed: this will stay
    let mut draft = balance.lock()?;
    *draft = 0; // not committed: this will never have been
    println!("ready");
    loop {
        std::thread::park();
    }
}

fn take_over(lock: &Lock, balance: &Value<u64>) -> procshare::Result<()> {
    match lock.lock() {
        Err(LockError::OwnerDied(outcome)) => {
            assert_eq!(balance.get()?, 150);
            println!("the balance is {}", balance.get()?);
            outcome.into_guard().make_consistent();
        }
        other => panic!("expected to be told of the death, got {other:?}"),
    }
    lock.lock().map(drop)?; // a plain guard again
    Ok(())
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    if let Some(handles) = std::env::args().nth(1) {
        let (lock, balance): Pair = serde_json::from_str(&handles)?;
        return Ok(hold_until_killed(&lock.attach()?, &balance.attach()?)?);
    }
    let (lock, balance) = (Lock::anonymous()?, Value::anonymous(100u64)?);
    let handles = serde_json::to_string(&(&lock, &balance))?;
    let mut child = Command::new(std::env::current_exe()?).arg(handles).stdout(Stdio::piped()).spawn()?;
    child.stdout.take().ok_or("no pipe")?.read_exact(&mut [0; 6])?;
    assert!(matches!(lock.try_lock(), Err(LockError::WouldBlock)));
    child.kill()?;
    let killed = Instant::now();
    take_over(&lock, &balance)?;
    println!("recovered {:?} after the kill", killed.elapsed());
    child.wait()?;
    Ok(())
}
