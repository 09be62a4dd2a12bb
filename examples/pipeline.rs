//! Three processes in a line, queues between them: one makes numbers, one squares them, one adds them up.

use procshare::process::{Failure, Process};
use procshare::{Handle, Queue};

const NUMBERS: u64 = 10_000;

#[procshare::task]
fn make(to: Handle<Queue<u64>>) -> Result<(), Failure> {
    let to = to.attach()?;
    for number in 0..NUMBERS {
        to.put(number)?;
    }
    Ok(to.close()?) // the next one drains what is there, and then ends too
}

#[procshare::task]
fn square(from: Handle<Queue<u64>>, to: Handle<Queue<u64>>) -> Result<(), Failure> {
    let (from, to) = (from.attach()?, to.attach()?);
    for number in from.iter() {
        to.put(number * number)?;
    }
    Ok(to.close()?)
}

#[procshare::task]
fn add_up(from: Handle<Queue<u64>>) -> Result<u64, Failure> {
    Ok(from.attach()?.iter().sum())
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (numbers, squares) = (Queue::anonymous(64)?, Queue::anonymous(64)?);
    let last = Process::builder().name("adder").start::<add_up>((&squares,))?;
    let middle = Process::builder().name("squarer").start::<square>((&numbers, &squares))?;
    let first = Process::builder().name("maker").start::<make>((&numbers,))?;
    first.join()??;
    middle.join()??;
    let sum = last.join()??;
    assert_eq!(sum, (0..NUMBERS).map(|number| number * number).sum());
    println!("the sum of {NUMBERS} squares is {sum}");
    Ok(())
}
