//! What a server allows.

use std::time::Duration;

/// What clients may ask of a server; every limit ends the client that passes it, or its call, and nobody else.
///
/// ```
/// use procshare::manager::Limits;
///
/// let limits = Limits { clients: 16, ..Limits::default() };
/// assert_eq!(limits.frame, 16 << 20);
/// ```
#[derive(Clone, Debug)]
pub struct Limits {
    /// Clients at once; further ones are told so when they have shown who they are.
    pub clients: usize,
    /// Connections at once of those who have not shown who they are, or are being sent away: when more come, the oldest is ended.
    pub strangers: usize,
    /// Bytes of one frame, in either direction.
    pub frame: usize,
    /// Bytes that wait to be read by one client; its calls are not looked at while there are more.
    pub unread: usize,
    /// Bytes in all of frames that have not come whole and of answers that wait to be read; beyond it, who has the most is ended.
    pub buffers: usize,
    /// How long a client may leave so many unread.
    pub stall: Duration,
    /// How long a client may take to be let in, with the handshake of TLS if there is one.
    pub handshake: Duration,
    /// How long a frame may take from its first byte to its last.
    pub slow_frame: Duration,
    /// How long a client may be silent while none of its calls waits; `None` for ever.
    pub idle: Option<Duration>,
    /// Calls of one client that wait at once.
    pub waiting: usize,
    /// Bytes of all stored values, with 128 for each, and for what else a client can make many of: 512 for an object, 128 for
    /// a reference, a ticket, or a holding of permits or of a lock; holdings may have a sixteenth more than that.
    pub memory: usize,
    /// Objects.
    pub objects: usize,
    /// Bytes of each of the two rings that a client on this machine gets: a power of two from 4,096 to 67,108,864; 0: all use the socket.
    pub ring: usize,
    /// Elements that one call, or all calls of a transaction, may touch: everybody else waits meanwhile. Sorting touches
    /// each element as often as the length has binary digits, and twice more; what changes in the middle of a list moves what is behind
    /// it; an element that is stored counts as four, a pair of a dict as sixteen. So the default is about a second of a processor
    /// at most, also for whoever wants to annoy others.
    pub work: u64,
    /// How long what a client holds is kept when it lives and is not connected any more, because its TCP connection was cut, or it
    /// was thrown out: its guards report the loss before others get it.
    pub lost: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            clients: 1024,
            strangers: 128,
            frame: 16 << 20,
            unread: 32 << 20,
            buffers: 256 << 20,
            stall: Duration::from_secs(10),
            handshake: Duration::from_secs(5),
            slow_frame: Duration::from_secs(10),
            idle: None,
            waiting: 1024,
            memory: 1 << 30,
            objects: 1 << 20,
            ring: 64 << 10,
            work: 1 << 24,
            lost: Duration::from_secs(1),
        }
    }
}
