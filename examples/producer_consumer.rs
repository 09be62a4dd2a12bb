//! One process makes work, others do it; one of them is killed in the middle of a job, and no job is lost.
//!
//! `cargo run --example producer_consumer`

use std::io::Read;
use std::process::{Child, Command, Stdio};

use procshare::{AtomicArray, GetError, Handle, Queue};

const JOBS: usize = 10_000;
type Shared = (Handle<Queue<u64>>, Handle<AtomicArray<u32>>);

/// Takes jobs until the queue is closed and empty; `stuck` keeps the first one, not done, and says so.
fn work(jobs: &Queue<u64>, done: &AtomicArray<u32>, stuck: bool) -> procshare::Result<()> {
    loop {
        match jobs.peek() {
            Ok(job) => {
                if stuck {
                    println!("stuck");
                    loop {
                        std::thread::park();
                    }
                }
                done.add(*job as usize, 1)?;
                job.release(); // only now it is taken out: who dies before leaves it to the next
            }
            Err(GetError::Closed) => return Ok(()),
            Err(other) => return Err(other.into()),
        }
    }
}

fn start(shared: &str, role: &str) -> std::io::Result<Child> {
    Command::new(std::env::current_exe()?).args([shared, role]).stdout(Stdio::piped()).spawn()
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [shared, role] = arguments.as_slice() {
        let (jobs, done): Shared = serde_json::from_str(shared)?;
        return Ok(work(&jobs.attach()?, &done.attach()?, role == "stuck")?);
    }
    let (jobs, done) = (Queue::anonymous(64)?, AtomicArray::anonymous(JOBS, 0u32)?);
    let shared = serde_json::to_string(&(&jobs, &done))?;
    let mut stuck = start(&shared, "stuck")?;
    jobs.put(0)?;
    stuck.stdout.take().ok_or("no pipe")?.read_exact(&mut [0; 6])?;
    stuck.kill()?;
    let workers = [start(&shared, "worker")?, start(&shared, "worker")?];
    (1..JOBS as u64).try_for_each(|job| jobs.put(job))?; // waits while no slot is free
    jobs.close()?; // without this the workers would wait for more
    for mut child in workers.into_iter().chain([stuck]) {
        child.wait()?;
    }
    println!("{} jobs done, each once: {}", done.len(), done.iter().all(|count| count == 1));
    Ok(())
}
