//! `Broadcast`: one to many, copied beside writers.

use super::Made;
use crate::atomic::AtomicU64;
use crate::model::{explore, join, kill_at_every_step};
use crate::queue::broadcast::{BroadcastHead, SubscriberWord};
use crate::queue::{Broadcast, BroadcastInit, RecvError, Subscriber};

/// An item of two bytes: large enough to be torn.
type News = Broadcast<u16>;

const ONE: u16 = 0x0101;
const TWO: u16 = 0x0202;
const THREE: u16 = 0x0303;

fn news(capacity: usize, seats: usize) -> Made {
    let init = BroadcastInit::new(capacity);
    let init = if seats == 0 { init } else { init.wait_for_subscribers(seats) };
    Made::new::<News>(init, |segment| {
        let (first, seat) = (size_of::<BroadcastHead>(), size_of::<SubscriberWord>());
        segment.place(0, vec![BroadcastHead::default()]);
        if seats > 0 {
            segment.place(first, (0..seats).map(|_| SubscriberWord::default()).collect());
        }
        let slots = first + seats * seat;
        let words = (segment.body().1 - slots) / 8;
        segment.place(slots, (0..words).map(|_| AtomicU64::default()).collect());
    })
}

/// Whether what a subscriber receives is of `all`, whole and in order, and what it missed is counted; up to the last of them.
fn receive_all(reader: &mut Subscriber<u16>, all: &[u16]) {
    let mut due = 0;
    while due < all.len() {
        match reader.recv() {
            Ok(item) => {
                assert_eq!(item, all[due], "torn, or out of order");
                due += 1;
            }
            Err(RecvError::Missed(count)) => due += count as usize,
            Err(other) => panic!("{other}"),
        }
    }
}

#[test]
fn whoever_is_outrun_receives_nothing_torn_and_is_told_what_it_missed() {
    explore(2, |world| {
        let made = news(1, 0);
        let mine = made.attach::<News>(world, 2);
        let mut reader = mine.subscribe().expect("no seat is needed");
        let publisher = made.attach::<News>(world, 1);
        let publisher = world.spawn(1, move |_| {
            [ONE, TWO].into_iter().for_each(|item| publisher.publish(item).expect("open"));
        });
        receive_all(&mut reader, &[ONE, TWO]);
        publisher.join();
    });
}

#[test]
fn nobody_is_outrun_where_publishers_wait() {
    explore(2, |world| {
        let made = news(1, 1);
        let mine = made.attach::<News>(world, 2);
        let mut reader = mine.subscribe().expect("a seat is free");
        let publisher = made.attach::<News>(world, 1);
        let publisher = world.spawn(1, move |_| {
            [ONE, TWO].into_iter().for_each(|item| publisher.publish(item).expect("open"));
        });
        assert_eq!([reader.recv().expect("open"), reader.recv().expect("open")], [ONE, TWO]);
        publisher.join();
    });
}

#[test]
fn two_publishers_and_a_subscriber() {
    explore(1, |world| {
        let made = news(2, 0);
        let mine = made.attach::<News>(world, 3);
        let mut reader = mine.subscribe().expect("no seat is needed");
        let publishers = [(1, ONE), (2, TWO)].map(|(id, item)| {
            let publisher = made.attach::<News>(world, id);
            world.spawn(id, move |_| publisher.publish(item).expect("open"))
        });
        let mut got = [reader.recv().expect("both fit"), reader.recv().expect("both fit")];
        got.sort_unstable();
        assert_eq!(got, [ONE, TWO]);
        join(publishers);
    });
}

#[test]
fn a_close_wakes_and_what_was_published_before_it_is_received() {
    explore(2, |world| {
        let made = news(1, 0);
        let mine = made.attach::<News>(world, 2);
        let mut reader = mine.subscribe().expect("no seat is needed");
        let publisher = made.attach::<News>(world, 1);
        let publisher = world.spawn(1, move |_| {
            publisher.publish(ONE).expect("open");
            publisher.close().expect("nobody is in the way");
        });
        assert!(matches!(reader.recv(), Ok(ONE)));
        assert!(matches!(reader.recv(), Err(RecvError::Closed)));
        publisher.join();
    });
}

#[test]
fn whenever_a_publisher_is_killed_its_item_is_there_or_never_was() {
    kill_at_every_step(1, |world, fated| {
        let made = news(3, 0);
        let mine = made.attach::<News>(world, 3);
        let mut reader = mine.subscribe().expect("no seat is needed");
        let fated_one = made.attach::<News>(world, 1);
        world.spawn_fated(1, fated, move |_| drop(fated_one.publish(ONE)));
        let publisher = made.attach::<News>(world, 2);
        let publisher = world.spawn(2, move |_| publisher.publish(TWO).expect("open"));
        let mut got = Vec::new();
        while !got.contains(&TWO) {
            got.push(reader.recv().expect("all of them fit"));
        }
        publisher.join();
        world.await_end(1);
        got.extend(reader.try_iter());
        assert!(super::one_of(&got, [&[TWO], &[ONE, TWO], &[TWO, ONE]]), "{got:x?}");
        mine.publish(THREE).expect("open");
        assert!(matches!(reader.recv(), Ok(THREE)));
    });
}

#[test]
fn whenever_a_subscriber_is_killed_its_seat_holds_up_nobody() {
    kill_at_every_step(1, |world, fated| {
        let made = news(1, 1);
        let fated_one = made.attach::<News>(world, 1);
        world.spawn_fated(1, fated, move |_| {
            if let Ok(mut reader) = fated_one.subscribe() {
                let _ = reader.try_recv();
            }
        });
        let publisher = made.attach::<News>(world, 2);
        [ONE, TWO].into_iter().for_each(|item| publisher.publish(item).expect("open"));
        world.await_end(1);
        publisher.publish(THREE).expect("open");
        let mut reader = publisher.subscribe().expect("the seat is free again");
        publisher.publish(ONE).expect("open");
        assert!(matches!(reader.recv(), Ok(ONE)));
    });
}
