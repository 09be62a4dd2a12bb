//! Jobs that exactly one worker takes, in transactions; one worker is killed: `cargo run --example job_board --features manager`

use procshare::manager::{Dict, Event, List, Manager};
use procshare::process::{Failure, Process, current_process};

/// Takes jobs until there are none: each is on the board, or in the hands of one worker, or done.
#[procshare::task]
fn worker(address: String) -> Result<u32, Failure> {
    let manager = Manager::connect(&address.parse()?)?;
    let board = List::<String>::open(&manager, "board")?;
    let hands = Dict::<String, String>::open(&manager, "hands")?;
    let done = Dict::<String, String>::open(&manager, "done")?;
    let me = current_process().name().to_owned();
    let mut count = 0;
    loop {
        let job = manager.transaction(|plan| {
            let job = plan.read(board.calls().get(0)?)?;
            if let Some(job) = &job {
                plan.write(board.calls().pop_front()?)?;
                plan.write(hands.calls().set(job, &me)?)?;
            }
            Ok(job)
        })?;
        let Some(job) = job else { return Ok(count) };
        if me == "unlucky" {
            Event::open_or_create(&manager, "stuck")?.set()?;
            std::thread::park(); // until it is killed, with a job in its hands
        }
        manager.transaction(|plan| {
            plan.write(hands.calls().remove(&job)?)?;
            plan.write(done.calls().set(&job, &me)?)
        })?;
        count += 1;
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let manager = Manager::start()?;
    let address = manager.address().to_string();
    let jobs: Vec<_> = (0..300).map(|number| format!("job {number}")).collect();
    let board = List::<String>::create_with(&manager, "board", &jobs)?;
    let hands = Dict::<String, String>::create(&manager, "hands")?;
    let done = Dict::<String, String>::create(&manager, "done")?;
    let unlucky = Process::builder().name("unlucky").start::<worker>((address.as_str(),))?;
    Event::open_or_create(&manager, "stuck")?.wait()?;
    unlucky.kill()?;
    for (job, owner) in hands.snapshot()? {
        println!("{owner} was killed with {job} in its hands: back on the board");
        manager.transaction(|plan| {
            plan.write(hands.calls().remove(&job)?)?;
            plan.write(board.calls().push(&job)?)
        })?;
    }
    let start = |_| Process::start::<worker>((address.as_str(),));
    for worker in (0..3).map(start).collect::<Result<Vec<_>, _>>()? {
        println!("{} did {}", worker.name(), worker.join()??);
    }
    println!("{} jobs are done, {} are left", done.len()?, board.len()? + hands.len()?);
    Ok(())
}
