//! An event: set it, see that it is set, clear it.

use std::time::Duration;

use raw_sync::Timeout;
use raw_sync::events::EventState;

use super::ours::refused;
use super::raw::RawEvent;
use crate::contender::solo;
use crate::failure::{Failure, same};
use crate::python::python;
use crate::row::{OURS, Placement, Row};

/// The rows of this file.
pub fn rows() -> Vec<Row> {
    let ours = solo(
        OURS,
        || Ok((procshare::Event::anonymous().map_err(refused)?, 0_u64)),
        |(event, seen), ops| {
            let mut set = 0;
            for _ in 0..ops {
                event.set().map_err(refused)?;
                set += u64::from(event.is_set());
                event.clear().map_err(refused)?;
            }
            *seen += set;
            Ok(())
        },
        |(event, seen), total| {
            same("times seen set", total, *seen)?;
            same("set at the end", 0, u64::from(event.is_set()))
        },
    );
    // raw_sync's event cannot be asked whether it is set: waiting for a set event is its nearest question.
    let raw_sync = solo(
        "raw_sync",
        || Ok((RawEvent::manual()?, 0_u64)),
        |(event, seen), ops| {
            let mut set = 0;
            for _ in 0..ops {
                event.set(EventState::Signaled).map_err(failed)?;
                set += u64::from(event.wait(Timeout::Infinite).is_ok());
                event.set(EventState::Clear).map_err(failed)?;
            }
            *seen += set;
            Ok(())
        },
        |(event, seen), total| {
            same("times seen set", total, *seen)?;
            same("set at the end", 0, u64::from(event.wait(Timeout::Val(Duration::ZERO)).is_ok()))
        },
    );
    vec![
        Row::new("event", "Event: set, is_set, clear", Placement::Alone)
            .with(ours)
            .with(raw_sync)
            .with(python("event"))
            .goal(0.27, "raw_sync"),
    ]
}

fn failed(error: Box<dyn std::error::Error>) -> Failure {
    Failure::contender("raw_sync event", error)
}
