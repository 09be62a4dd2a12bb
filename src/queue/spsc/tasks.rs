//! The ends of a queue used by tasks: `put` and `get` without a thread that waits.

use super::consumer::Consumer;
use super::producer::Producer;
use super::ring::{Role, SpscRing};
use super::waits::LAST_LOOKS;
use crate::atomic::pause;
use crate::error::Result;
use crate::queue::error::{GetError, PutError};
use crate::shm::Plain;
use crate::sync::{Announced, Attempt, Look, Source, Ticket, Wait};

impl<T: Plain> Consumer<T> {
    /// Takes the next item, waiting without a thread while the queue is empty. For any executor.
    ///
    /// Dropping the future takes nothing.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get), or the thread that wakes tasks cannot be started.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> procshare::Result<()> {
    /// let (mut producer, mut consumer) = procshare::SpscQueue::<u64>::anonymous(1)?.split()?;
    /// let got = tokio::spawn(async move { (consumer.get_async().await, consumer.get_async().await) });
    /// producer.put_async(1).await?;
    /// producer.put_async(2).await?;
    /// assert!(matches!(got.await.unwrap(), (Ok(1), Ok(2))));
    /// # Ok(())
    /// # }
    /// ```
    pub async fn get_async(&mut self) -> Result<T, GetError> {
        let ring = self.ring().clone();
        let attempt = || match self.try_get() {
            Err(GetError::Empty) => None,
            outcome => Some(outcome),
        };
        let turn = Turn { attempt, sleeper: Sleeper { ring: &ring, role: Role::Consumer, ticket: None } };
        Wait::new(turn, ring.attached()).await.map_err(GetError::Failed)?
    }
}

impl<T: Plain> Producer<T> {
    /// Puts `item`, waiting without a thread while the queue is full. For any executor.
    ///
    /// If the future is dropped before it is ready, nothing was put.
    ///
    /// # Errors
    ///
    /// As [`put`](Self::put), or the thread that wakes tasks cannot be started.
    pub async fn put_async(&mut self, item: T) -> Result<(), PutError<T>> {
        let ring = self.ring().clone();
        let attempt = || match self.try_put(item) {
            Err(PutError::Full(_)) => None,
            outcome => Some(outcome),
        };
        let turn = Turn { attempt, sleeper: Sleeper { ring: &ring, role: Role::Producer, ticket: None } };
        Wait::new(turn, ring.attached()).await.unwrap_or_else(|error| Err(PutError::Failed(item, error)))
    }
}

/// A sleeper announced at an end; dropping it passes on a wake-up that was spent on it.
struct Sleeper<'a> {
    ring: &'a SpscRing,
    role: Role,
    ticket: Option<Ticket>,
}

impl Drop for Sleeper<'_> {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket {
            let host = self.ring.attached().member.host();
            self.ring.line(self.role).events.pass_on(host, ticket);
        }
    }
}

/// One put or get that some task waits for.
struct Turn<'a, F> {
    attempt: F,
    sleeper: Sleeper<'a>,
}

impl<F> Unpin for Turn<'_, F> {}

impl<'a, R, F: FnMut() -> Option<R>> Source<'a> for Turn<'a, F> {
    type Output = R;

    fn attempt(&mut self, _: Look) -> Result<Attempt<R>> {
        // As long as a store needs to become visible, once a sleeper is announced: see `waits`.
        let looks = if self.sleeper.ticket.is_some() { LAST_LOOKS } else { 1 };
        for _ in 0..looks {
            if let Some(outcome) = (self.attempt)() {
                self.sleeper.ticket = None;
                return Ok(Attempt::Taken(outcome));
            }
            pause();
        }
        Ok(Attempt::NotYet)
    }

    fn announce(&mut self) -> Result<Announced<'a>> {
        let events = &self.sleeper.ring.line(self.sleeper.role).events;
        let ticket = events.prepare();
        self.sleeper.ticket = Some(ticket);
        Ok(Announced::Sleep(events.expect(ticket)))
    }
}
