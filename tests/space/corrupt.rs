//! Bodies that a hostile or broken program wrote: an error or a value, never a crash, never a hang.
//!
//! Seeded mutants of whole segments, each given to every method in its polling and timed forms, in a child under a
//! deadline. A failure names the seed of the mutant.

use std::fs;
use std::path::Path;
use std::time::Duration;

use procshare::bytemuck::{CheckedBitPattern, NoUninit};
use procshare::{
    Array, ArrayInit, AtomicArray, AtomicContents, AtomicValue, Broadcast, BroadcastInit, Error, Handle,
    Lock, LockArray, LockError, Plain, Queue, Space, Value,
};
use procshare_harness::{Exit, Rng, child};

use crate::support::{Dir, Home, guarded};

const MUTANTS: u64 = 600;
/// Mutants of one child: a fork each would cost more than the mutants.
const BATCH: u64 = 50;
const SHORT: Duration = Duration::from_micros(300);

/// The first mutant's seed: always the same, unless `PROCSHARE_SEED` says another.
fn seed() -> u64 {
    std::env::var("PROCSHARE_SEED").map_or(1, |_| Rng::seed_from_env())
}

/// A mutant: some bytes of the file differ. The header is left alone more often than not, so that bodies are reached.
fn mutate(bytes: &mut [u8], rng: &mut Rng) {
    let len = bytes.len() as u64;
    let from = if rng.one_in(8) { 0 } else { 256.min(len - 1) };
    // Small bodies are mostly words: favour their beginning.
    let until = if rng.one_in(2) { len.min(from + 160) } else { len };
    for _ in 0..=rng.below(6) {
        let at = (from + rng.below(until - from)) as usize;
        match rng.below(4) {
            0 => bytes[at] ^= 1 << rng.below(8),
            1 => bytes[at] = rng.next_u64() as u8,
            2 => {
                let at = at & !7;
                let word = [0, 1, u64::MAX, i64::MAX as u64, 1 << 63, 1 << 31, 1 << 30, rng.next_u64()];
                let word = word[rng.below(8) as usize].to_ne_bytes();
                let end = (at + 8).min(bytes.len());
                bytes[at..end].copy_from_slice(&word[..end - at]);
            }
            _ => {
                let end = (at + rng.below(40) as usize).min(bytes.len());
                let byte = [0, 0xff, 0x80, rng.next_u64() as u8][rng.below(4) as usize];
                bytes[at..end].fill(byte);
            }
        }
    }
}

/// Gives mutants of the object `it` to `use_it`; every child must come back by itself.
fn survives(kind: &str, make: impl Fn(&Space), use_it: impl Fn(&Space)) {
    guarded(|| {
        let home = Home::new();
        make(&home.space);
        let path = home.dir.path().join("it");
        let whole = fs::read(&path).unwrap();
        let seed = seed();
        for batch in 0..MUTANTS / BATCH {
            let exit = child(Duration::from_secs(30), || {
                for number in batch * BATCH..(batch + 1) * BATCH {
                    replay(&path, &whole, seed.wrapping_add(number), || use_it(&home.space));
                }
            });
            if !exit.is_clean() {
                find(kind, &path, &whole, seed, batch, &exit, || use_it(&home.space));
            }
        }
    });
}

fn replay(path: &Path, whole: &[u8], seed: u64, use_it: impl FnOnce()) {
    let mut bytes = whole.to_vec();
    mutate(&mut bytes, &mut Rng::new(seed));
    // A new file: the old one may still be mapped.
    fs::remove_file(path).unwrap();
    fs::write(path, bytes).unwrap();
    use_it();
}

/// Names the mutant that a batch died of.
fn find(kind: &str, path: &Path, whole: &[u8], seed: u64, batch: u64, first: &Exit, use_it: impl Fn()) {
    for number in batch * BATCH..(batch + 1) * BATCH {
        let seed = seed.wrapping_add(number);
        if !path.exists() {
            fs::write(path, whole).unwrap();
        }
        let exit = child(Duration::from_secs(5), || replay(path, whole, seed, &use_it));
        assert!(exit.is_clean(), "{kind}: PROCSHARE_SEED={seed}: the user {exit}");
    }
    panic!("{kind}: batch {batch} from PROCSHARE_SEED={seed}: {first}");
}

/// Looks at an error's words, too: they are made of hostile numbers.
fn say<T>(outcome: Result<T, Error>) -> Option<T> {
    outcome.inspect_err(|error| assert!(!error.to_string().is_empty())).ok()
}

fn hold<G>(outcome: Result<G, LockError<G>>) -> Option<G> {
    match outcome {
        Ok(guard) => Some(guard),
        Err(LockError::OwnerDied(outcome)) => Some(outcome.into_guard()),
        Err(other) => {
            assert!(!other.to_string().is_empty());
            None
        }
    }
}

#[test]
fn locks() {
    let use_it = |space: &Space| {
        for read_only in [true, false] {
            let Some(lock) = say(Lock::builder().space(space).read_only(read_only).open("it")) else {
                continue;
            };
            assert!(!format!("{lock:?} {:?}", lock.holder()).is_empty());
            let _ = lock.release();
            drop(hold(lock.try_lock()));
            if let Some(guard) = hold(lock.lock_timeout(SHORT)) {
                guard.make_consistent();
                guard.forget();
                let _ = lock.release();
            }
        }
    };
    survives("Lock", |space| drop(Lock::builder().space(space).create("it").unwrap()), use_it);
}

#[test]
fn lock_arrays() {
    let use_it = |space: &Space| {
        let Some(locks) = say(LockArray::builder().space(space).open("it")) else { return };
        for index in [0, 1, 8, 9, usize::MAX] {
            drop(hold(locks.try_lock(index)));
            drop(hold(locks.lock_timeout(index, SHORT)));
            let _ = (locks.release(index), say(locks.holder(index)));
        }
    };
    survives("LockArray", |space| drop(LockArray::builder().space(space).create("it", 9).unwrap()), use_it);
}

/// A type with bytes that are no values of it.
#[derive(Clone, Copy, Debug, NoUninit, CheckedBitPattern, Plain)]
#[repr(C)]
struct Switches {
    on: bool,
    up: bool,
    level: u16,
    count: u32,
}

const OFF: Switches = Switches { on: false, up: false, level: 1, count: 2 };

#[test]
fn values() {
    let use_it = |space: &Space| {
        for read_only in [true, false] {
            let builder = Value::<Switches>::builder().space(space).read_only(read_only);
            let Some(value) = say(builder.open("it")) else { continue };
            assert!(!format!("{value:?}").is_empty());
            let _ = (say(value.try_get()), say(value.get_timeout(SHORT)));
            let _ = say(value.try_update(|switches| switches.on = true));
            if let Some(mut guard) = hold(value.try_lock()) {
                guard.on = !guard.on;
            }
            if let Some(mut guard) = hold(value.lock_in_place_timeout(SHORT)) {
                guard.up = !guard.up;
                guard.make_consistent();
            }
            let _ = say(value.set_timeout(OFF, SHORT));
            let _ = say(value.try_get());
        }
    };
    survives("Value", |space| drop(Value::builder().space(space).create("it", OFF).unwrap()), use_it);
}

#[test]
fn atomic_values() {
    let use_it = |space: &Space| {
        let Some(value) = say(AtomicValue::<bool>::builder().space(space).open("it")) else { return };
        assert!(!format!("{value:?}").is_empty());
    };
    survives(
        "AtomicValue",
        |space| drop(AtomicValue::builder().space(space).create("it", false).unwrap()),
        use_it,
    );
}

#[test]
fn arrays() {
    let use_it = |space: &Space| {
        for read_only in [true, false] {
            let builder = Array::<[u16; 3]>::builder().space(space).read_only(read_only);
            let Some(array) = say(builder.open("it")) else { continue };
            let len = array.len();
            assert!(len <= array.max_len() && array.max_len() == 50, "{len}");
            for index in [0, 7, 39, len.wrapping_sub(1), len, 49, usize::MAX] {
                let _ = (say(array.try_get(index)), say(array.try_set(index, [1; 3])));
            }
            for range in [0..1, 4..30, 0..len] {
                if let Some(mut guard) = hold(array.try_lock(range.clone())) {
                    guard[0] = [2; 3];
                    let _ = guard.make_consistent();
                }
                drop(hold(array.lock_timeout(range, SHORT)));
            }
        }
    };
    let make = |space: &Space| {
        let init = ArrayInit::filled(40, [7u16; 3]).max_len(50).guards(5);
        drop(Array::builder().space(space).create("it", init).unwrap());
    };
    survives("Array", make, use_it);
}

#[test]
fn atomic_arrays() {
    let use_it = |space: &Space| {
        let Some(array) = say(AtomicArray::<u32>::builder().space(space).open("it")) else { return };
        let len = array.len();
        assert!(len <= 70, "{len} elements in a body of 70");
        for index in [0, len.wrapping_sub(1), len, 69, usize::MAX] {
            assert_eq!(array.get(index).is_ok(), index < len);
            let _ = (say(array.add(index, 1)), say(array.set(index, 4)));
        }
        assert_eq!(array.to_vec().len(), len);
        let _ = say(array.fill(5));
        assert!(!format!("{array:?}").is_empty());
    };
    survives(
        "AtomicArray",
        |space| {
            drop(AtomicArray::builder().space(space).create("it", AtomicContents::Filled(70, 3u32)).unwrap())
        },
        use_it,
    );
}

#[test]
fn queues() {
    let use_it = |space: &Space| {
        for read_only in [true, false] {
            let builder = Queue::<Switches>::builder().space(space).read_only(read_only);
            let Some(queue) = say(builder.open("it")) else { continue };
            assert!(!format!("{queue:?} {:?} {}", queue.counts(), queue.high_water()).is_empty());
            assert!(queue.len() <= 5 && queue.capacity() == 5);
            for _ in 0..7 {
                let _ = say(queue.try_get().map_err(Error::from));
                let _ = say(queue.get_timeout(SHORT).map_err(Error::from));
                let _ = say(queue.try_put(OFF).map_err(Error::from));
                let _ = say(queue.try_put_many(&[OFF; 3]).map_err(Error::from));
                if let Some(slot) = say(queue.try_reserve().map_err(Error::from)) {
                    slot.commit(OFF);
                }
                drop(say(queue.try_reserve().map_err(Error::from)));
                if let Some(item) = say(queue.try_peek().map_err(Error::from)) {
                    assert!(item.level < u16::MAX || !item.on || item.up);
                    item.release();
                }
                drop(say(queue.try_peek().map_err(Error::from)));
                let _ = say(queue.put_timeout(OFF, SHORT).map_err(Error::from));
                let _ = say(queue.try_get_many(9).map_err(Error::from));
            }
            let _ = procshare::try_wait_any(&[&queue]);
        }
    };
    let make = |space: &Space| {
        let queue = Queue::builder().space(space).create("it", 5).unwrap();
        queue.put_many(&[OFF; 4]).unwrap();
        queue.get().unwrap();
        std::mem::forget(queue.reserve().unwrap());
        std::mem::forget(queue.peek().unwrap());
    };
    survives("Queue", make, use_it);
}

#[test]
fn broadcasts() {
    let use_it = |space: &Space| {
        for read_only in [true, false] {
            let builder = Broadcast::<Switches>::builder().space(space).read_only(read_only);
            let Some(news) = say(builder.open("it")) else { continue };
            assert!(!format!("{news:?}").is_empty() && news.capacity() == 3);
            for _ in 0..5 {
                let _ = say(news.try_publish(OFF).map_err(Error::from));
                let _ = say(news.publish_timeout(OFF, SHORT).map_err(Error::from));
            }
            // With seats, subscribing waits for the publishers' lock, which may seem to be held by somebody alive.
            let Some(mut reader) = (!news.waits_for_subscribers()).then(|| news.subscribe().unwrap()) else {
                continue;
            };
            for _ in 0..9 {
                let _ = say(reader.try_recv().map_err(Error::from));
                let _ = say(reader.recv_timeout(SHORT).map_err(Error::from));
                let _ = say(news.try_publish(OFF).map_err(Error::from));
            }
            let _ = procshare::try_wait_any(&[&reader]);
            assert!(!format!("{reader:?}").is_empty());
        }
    };
    for seats in [0, 4] {
        let make = |space: &Space| {
            let init = BroadcastInit::new(3).wait_for_subscribers(seats);
            let news = Broadcast::builder().space(space).create("it", init).unwrap();
            let mut reader = news.subscribe().unwrap();
            news.publish_many(&[OFF; 3]).unwrap();
            reader.recv().unwrap();
        };
        survives("Broadcast", make, use_it);
    }
}

/// A registry's slots are hostile, too: joining, asking and collecting come back.
#[test]
fn registries() {
    guarded(|| {
        let (home, seed) = (Home::new(), seed());
        let whole = fs::read(home.dir.path().join(".registry")).unwrap();
        for number in 0..200 {
            let dir = Dir::with_mode(0o700);
            let mut bytes = whole.clone();
            mutate(&mut bytes, &mut Rng::new(seed.wrapping_add(number)));
            fs::write(dir.path().join(".registry"), bytes).unwrap();
            let exit = child(Duration::from_secs(5), || {
                let Some(space) = say(Space::at(dir.path()).open_or_create()) else { return };
                let _ = (say(space.join()), say(space.collect()));
                if let Some(lock) = say(Lock::builder().space(&space).create("it")) {
                    drop(hold(lock.lock_timeout(SHORT)));
                }
            });
            assert!(exit.is_clean(), "registry: PROCSHARE_SEED={}: {exit}", seed.wrapping_add(number));
        }
    });
}

/// Handles travel as text that anybody may have written.
#[test]
fn handles() {
    guarded(|| {
        let home = Home::new();
        let lock = home.lock();
        let text = serde_json::to_string(&lock).unwrap();
        let seed = seed();
        let exit = child(Duration::from_secs(30), || {
            for number in 0..2_000 {
                let mut bytes = text.clone().into_bytes();
                let mut rng = Rng::new(seed.wrapping_add(number));
                for _ in 0..=rng.below(3) {
                    let at = rng.below(bytes.len() as u64) as usize;
                    let replacements = b"0123456789abcdef{}[]\":,./-\\ \0\xff";
                    bytes[at] = replacements[rng.below(replacements.len() as u64) as usize];
                }
                let Ok(handle) = serde_json::from_slice::<Handle<Lock>>(&bytes) else { continue };
                if let Some(lock) = say(handle.attach()) {
                    drop(hold(lock.try_lock()));
                }
            }
        });
        assert!(exit.is_clean(), "PROCSHARE_SEED={seed}: {exit}");
    });
}
