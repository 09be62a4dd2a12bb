//! `Broadcast` in a storm: what is received is whole and in order, what is not is counted, and nobody is held up by the dead.

use std::time::Duration;

use procshare::{Broadcast, BroadcastInit, PutError, RecvError};
use procshare_harness::Seat;

use crate::support::{LONG, SHORT, Scene, Size, rage, storm};

const PUBLISHERS: usize = 2;
const READERS: usize = 2;
const NEXT: usize = 0;

/// Who published it, the number, and a checksum.
type Item = [u64; 12];

fn item(who: u64, number: u64) -> Item {
    let mut item = [who.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ number.rotate_left(17); 12];
    (item[0], item[1]) = (who, number);
    item
}

fn publish(scene: &Scene, news: &Broadcast<Item>, seat: &mut Seat<'_>) -> Result<(), String> {
    let who = seat.index();
    let number = scene.get(NEXT + who);
    scene.set(NEXT + who, number + 1);
    match news.publish_timeout(item(who as u64, number), Duration::from_millis(50)) {
        Ok(()) | Err(PutError::TimedOut(_)) => Ok(()),
        Err(other) => Err(other.to_string()),
    }
}

/// Subscribes, reads for a while, and leaves.
fn read(news: &Broadcast<Item>, seat: &mut Seat<'_>) -> Result<(), String> {
    let mut reader = news.subscribe().map_err(|error| error.to_string())?;
    let mut next = [0; PUBLISHERS];
    while seat.again() {
        if seat.rng().one_in(200) {
            return Ok(());
        }
        match reader.recv_timeout(Duration::from_millis(20)) {
            Ok(found) => {
                let [who, number, ..] = found;
                if found != item(who, number) || who >= PUBLISHERS as u64 {
                    return Err(format!("torn: {found:?}"));
                }
                if number < next[who as usize] {
                    return Err(format!("{who}'s number {number} came late"));
                }
                next[who as usize] = number + 1;
            }
            Err(RecvError::Missed(count)) if count > 0 && !news.waits_for_subscribers() => {}
            Err(RecvError::TimedOut) => {}
            Err(other) => return Err(other.to_string()),
        }
    }
    Ok(())
}

fn rages(size: Size, name: &str, seats: usize) {
    let scene = Scene::new(name);
    let init = BroadcastInit::new(5).wait_for_subscribers(seats);
    let news = Broadcast::<Item>::builder().space(&scene.space).create("it", init).unwrap();
    let storm = storm(name, size)
        .role("publisher", PUBLISHERS, |seat| {
            while seat.again() {
                publish(&scene, &news, seat)?;
            }
            Ok::<(), String>(())
        })
        .role("reader", READERS, |seat| {
            while seat.again() {
                read(&news, seat)?;
            }
            Ok::<(), String>(())
        })
        .check(|| {
            let mut reader = news.subscribe().map_err(|error| error.to_string())?;
            for number in 0..12 {
                news.publish(item(0, number)).map_err(|error| error.to_string())?;
                let found = reader.recv().map_err(|error| error.to_string())?;
                if found != item(0, number) {
                    return Err(format!("{found:?} instead of {number}"));
                }
            }
            Ok(())
        });
    let report = rage(&storm, size);
    assert!(news.published() > report.kills, "hardly anything was published");
}

#[test]
fn a_short_storm() {
    rages(SHORT, "broadcast", 0);
}

#[test]
fn a_short_storm_with_seats() {
    rages(SHORT, "broadcast-seats", 8);
}

#[test]
#[ignore = "takes minutes"]
fn a_long_storm() {
    rages(LONG, "broadcast", 0);
}

#[test]
#[ignore = "takes minutes"]
fn a_long_storm_with_seats() {
    rages(LONG, "broadcast-seats", 8);
}
