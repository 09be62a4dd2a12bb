//! Work that is acknowledged: a worker is killed in the middle of a task, another one does it again, and `join` waits for all.
//!
//! `cargo run --example work_queue`

use std::io::Read;
use std::process::{Child, Command, Stdio};

use procshare::{AtomicArray, Handle, JoinableQueue};

const TASKS: u64 = 1_000;

type Desk = (Handle<JoinableQueue<u64>>, Handle<AtomicArray<u64>>);

/// Does tasks until the queue is closed; with `stuck`, begins one and never ends it.
fn work(jobs: &JoinableQueue<u64>, results: &AtomicArray<u64>, stuck: bool) -> procshare::Result<()> {
    for task in jobs.iter() {
        if stuck {
            println!("stuck");
            std::thread::park();
        }
        results.set(*task as usize, *task * *task)?; // done twice, it comes to the same
        task.done(); // dying before this hands the task out again
    }
    Ok(())
}

fn start(desk: &str, how: &str) -> std::io::Result<Child> {
    Command::new(std::env::current_exe()?).args([desk, how]).stdout(Stdio::piped()).spawn()
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [desk, how] = &arguments[..] {
        let (jobs, results): Desk = serde_json::from_str(desk)?;
        return Ok(work(&jobs.attach()?, &results.attach()?, how == "stuck")?);
    }
    let jobs = JoinableQueue::<u64>::anonymous(64)?;
    let results = AtomicArray::<u64>::anonymous(TASKS as usize, 0)?;
    let desk = serde_json::to_string(&(&jobs, &results))?;

    jobs.put(0)?;
    let mut stuck = start(&desk, "stuck")?;
    stuck.stdout.take().ok_or("no pipe")?.read_exact(&mut [0; 5])?;
    let workers = [start(&desk, "well")?, start(&desk, "well")?];
    for task in 1..TASKS {
        if task == 50 {
            stuck.kill()?; // it had task 0, which would hold up producers at task 64: the capacity is that of unfinished tasks
            stuck.wait()?;
        }
        jobs.put(task)?;
    }
    jobs.join()?;
    let right = (0..TASKS).all(|task| results.get(task as usize).is_ok_and(|square| square == task * task));
    println!("{TASKS} tasks done, all right: {right}");
    jobs.close()?;
    for mut worker in workers {
        worker.wait()?;
    }
    if right { Ok(()) } else { Err("a task was lost".into()) }
}
