//! Whether the server still answers, for those who do not want to wait for one that does not.
//!
//! The server does the calls of a connection in their order and never waits in one, so a `ping` that is answered says that all calls before
//! it have been looked at: those without an answer wait by right. So one thread that asks now and then bounds every call, also
//! those that may wait for ever, and costs these nothing.

use std::sync::{Arc, Weak};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use super::inbox::Stand;
use super::link::Link;

/// The server is asked, and asked for its answer, so many times in the time that it has. The first of them may pass before it is
/// asked. And it is counted how often, not for how long: when this process was stopped, the answer may be here unread.
const LOOKS: u32 = 4;

/// A question that has no answer yet.
struct Question {
    id: u64,
    /// Whose turn to read it was.
    turn: u64,
    /// How often the answer was looked for while the same thread was reading.
    looks: u32,
}

/// Gives the connection up when somebody waits and the server answers nothing for `patience`.
///
/// The thread that does is unparked when the connection ends, to end as well.
pub(super) fn watch(link: &Arc<Link>, patience: Duration) -> std::io::Result<Thread> {
    let link = Arc::downgrade(link);
    let watching = move || while_it_lives(&link, patience);
    let handle = thread::Builder::new().name("procshare-pulse".into()).spawn(watching)?;
    Ok(handle.thread().clone())
}

fn while_it_lives(link: &Weak<Link>, patience: Duration) {
    let mut question = None;
    loop {
        rest(link, (patience / LOOKS).max(Duration::from_millis(1)));
        let Some(link) = link.upgrade() else { return };
        if link.is_lost() {
            return;
        }
        question = look(&link, question);
        if question.as_ref().is_some_and(|question| question.looks + 1 >= LOOKS) {
            link.give_up(format!("the server has not answered anything for {patience:?}"));
            return;
        }
    }
}

/// Sleeps for so long, or until the connection ends.
fn rest(link: &Weak<Link>, pause: Duration) {
    let began = Instant::now();
    while let Some(left) = pause.checked_sub(began.elapsed())
        && link.strong_count() > 0
    {
        thread::park_timeout(left);
    }
}

/// Looks for an answer, and asks if somebody waits; what has no answer after that.
fn look(link: &Link, question: Option<Question>) -> Option<Question> {
    let mut inbox = link.inbox();
    let is_read = inbox.incoming.is_none();
    if let Some(mut question) = question
        && let Stand::Awaited = inbox.take(question.id)
    {
        // Who reads hands out what came for others: if it is the same as before, nothing has come.
        let same = is_read && question.turn == inbox.turn;
        question.looks = if same { question.looks + 1 } else { 0 };
        question.turn = inbox.turn;
        return Some(question);
    }
    let turn = inbox.turn;
    drop(inbox);
    // Nobody waits for anything: there is nothing to be late with.
    let id = if is_read { link.knock() } else { None };
    id.map(|id| Question { id, turn, looks: 0 })
}
