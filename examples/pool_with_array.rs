//! Workers sieve primes in one shared array, each a part of it: nothing is copied back.

use procshare::process::{Failure, Pool};
use procshare::{AtomicArray, Handle};

const LIMIT: usize = 100_000;

/// Crosses out the multiples of the primes below the square root, from `start` on.
#[procshare::task]
fn sieve(
    composite: Handle<AtomicArray<bool>>,
    small: Vec<usize>,
    start: usize,
    end: usize,
) -> Result<(), Failure> {
    let composite = composite.attach()?;
    for prime in small {
        let first = start.next_multiple_of(prime).max(prime * prime);
        for multiple in (first..end).step_by(prime) {
            composite.set(multiple, true)?;
        }
    }
    Ok(())
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let composite = AtomicArray::anonymous(LIMIT, false)?;
    let is_prime =
        |n: usize| (2..n).take_while(|factor| factor * factor <= n).all(|factor| !n.is_multiple_of(factor));
    let root = (2..).find(|n| n * n >= LIMIT).unwrap_or(LIMIT);
    let small: Vec<usize> = (2..=root).filter(|&n| is_prime(n)).collect();

    let pool = Pool::builder().workers(2).build()?;
    let parts = (0..LIMIT).step_by(10_000).map(|start| (&composite, &small[..], start, start + 10_000));
    for part in pool.starmap::<sieve>(parts)? {
        part?;
    }

    let primes = composite.iter().skip(2).filter(|composite| !composite).count();
    assert_eq!(primes, 9_592);
    println!("{primes} primes below {LIMIT}");
    Ok(())
}
