use std::convert::Infallible;
use std::rc::Rc;
use std::sync::Arc;

use crate::cause::Breakage;
use crate::model::{Guarded, Participant, World, explore, join, kill_at_every_step};
use crate::sync::barrier_outcome::BarrierError;
use crate::sync::barrier_seat::{Place, Round};
use crate::sync::barrier_word::{BarrierHead, SeatWord, Sitter, Words};
use crate::time::Deadline;

/// A barrier, and what each party writes before it waits.
struct Meeting {
    head: BarrierHead,
    seats: Vec<SeatWord>,
    notes: Vec<Guarded<u32>>,
}

impl Meeting {
    /// A barrier at which the participants from 1 on have their seats.
    fn of(world: &Arc<World>, parties: u32) -> Rc<Self> {
        let meeting = Meeting {
            head: BarrierHead::default(),
            seats: (0..parties).map(|_| SeatWord::default()).collect(),
            notes: (0..parties).map(|_| Guarded::default()).collect(),
        };
        for id in 1..=parties {
            let seat = meeting.words(&world.participant(id)).take_seat(Sitter::new(id, 1, false));
            seat.expect("a seat for each");
        }
        Rc::new(meeting)
    }

    fn words<'a>(&'a self, me: &'a Participant) -> Words<'a, Participant> {
        Words { head: &self.head, seats: &self.seats, host: me, me: me.owner().id() }
    }

    /// Writes a note and waits; tells whether the caller released the others.
    fn meet(&self, me: &Participant, deadline: Deadline) -> Result<bool, BarrierError<Infallible>> {
        let words = self.words(me);
        let sitter = Sitter::new(me.owner().id(), 1, false);
        let (index, _) = words.seat_of(1).expect("it has a seat");
        assert!(words.occupy(index, sitter));
        self.notes[index].set(self.notes[index].get() + 1);
        let place = Place { index, sitter };
        let action = None::<fn() -> Result<(), Infallible>>;
        let outcome = Round { words: &words, place, deadline, action }.run();
        words.vacate(index, sitter);
        outcome
    }

    /// What everybody has written.
    fn notes(&self) -> u32 {
        self.notes.iter().map(Guarded::get).sum()
    }
}

#[test]
fn everybody_sees_what_all_wrote_and_one_leads() {
    explore(2, |world| {
        let meeting = Meeting::of(world, 3);
        let leads = Rc::new(std::cell::Cell::new(0));
        let party = |me: &Participant, meeting: &Meeting, leads: &std::cell::Cell<u32>| {
            let leader = meeting.meet(me, Deadline::Never).expect("nobody dies");
            assert_eq!(meeting.notes(), 3);
            leads.set(leads.get() + u32::from(leader));
        };
        let others = [1, 2].map(|id| {
            let (meeting, leads) = (Rc::clone(&meeting), Rc::clone(&leads));
            world.spawn(id, move |me| party(me, &meeting, &leads))
        });
        party(&world.participant(3), &meeting, &leads);
        join(others);
        assert_eq!((leads.get(), meeting.head.round()), (1, 1));
    });
}

#[test]
fn rounds_follow_each_other() {
    explore(3, |world| {
        let meeting = Meeting::of(world, 2);
        let twice = |me: &Participant, meeting: &Meeting| {
            meeting.meet(me, Deadline::Never).expect("nobody dies");
            meeting.meet(me, Deadline::Never).expect("nobody dies");
        };
        let other = world.spawn(1, {
            let meeting = Rc::clone(&meeting);
            move |me| twice(me, &meeting)
        });
        twice(&world.participant(2), &meeting);
        other.join();
        assert_eq!((meeting.notes(), meeting.head.round()), (4, 2));
    });
}

#[test]
fn a_timeout_breaks_it_for_both_or_comes_too_late_for_both() {
    explore(4, |world| {
        let meeting = Meeting::of(world, 2);
        let hasty = world.spawn(1, {
            let meeting = Rc::clone(&meeting);
            move |me| match meeting.meet(me, Deadline::At(0)) {
                Ok(_) => assert_eq!(meeting.head.round(), 1),
                Err(BarrierError::TimedOut) => assert_eq!(meeting.head.round(), 0),
                Err(other) => panic!("{other}"),
            }
        });
        match meeting.meet(&world.participant(2), Deadline::Never) {
            Ok(_) => assert_eq!(meeting.head.round(), 1),
            Err(BarrierError::Broken(why)) => assert_eq!(why, Breakage::TimedOut),
            Err(other) => panic!("{other}"),
        }
        hasty.join();
    });
}

#[test]
fn whenever_a_party_is_killed_the_others_are_released_or_told() {
    kill_at_every_step(1, |world, fated| {
        let meeting = Meeting::of(world, 3);
        world.spawn_fated(1, fated, {
            let meeting = Rc::clone(&meeting);
            move |me| {
                let _ = meeting.meet(me, Deadline::Never);
            }
        });
        let survive = |me: &Participant, meeting: &Meeting| match meeting.meet(me, Deadline::Never) {
            Ok(_) => assert_eq!(meeting.head.round(), 1, "released, and it did not trip"),
            Err(BarrierError::Broken(why)) => assert_eq!(why, Breakage::Died),
            Err(other) => panic!("{other}"),
        };
        let other = world.spawn(2, {
            let meeting = Rc::clone(&meeting);
            move |me| survive(me, &meeting)
        });
        survive(&world.participant(3), &meeting);
        other.join();
    });
}
