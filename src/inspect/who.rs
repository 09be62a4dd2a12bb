//! Participants, as whoever looks from outside can tell them.

use serde::{Serialize, Serializer};

use crate::error::{Error, Result};
use crate::participant::{ParticipantId, Registry, SlotInfo};
use crate::shm::segment::Site;
use crate::sys::{self, Access, Held, Prober, ProcessInfo};

/// Whether a participant lives, as the kernel tells.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Life {
    /// It lives; stopped and sleeping processes do.
    Alive,
    /// It has ended.
    Dead,
    /// The space's registry cannot be asked.
    Unknown,
}

/// A participant: a process that is or was in the space.
///
/// Everything but `id` and `life` is what the process said of itself when it joined, for display; `None` once
/// another process has its slot.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[non_exhaustive]
pub struct Who {
    /// Its id in the space.
    #[serde(serialize_with = "as_text")]
    pub id: ParticipantId,
    /// Whether it lives.
    pub life: Life,
    /// Its process id, as its own pid namespace counts.
    pub pid: Option<u32>,
    /// Its effective user id.
    pub uid: Option<u32>,
    /// The file name of its executable, at most 32 bytes of it.
    pub executable: Option<String>,
    /// When it started, in nanoseconds since 1970; good to about 10 ms.
    pub started_ns: Option<u64>,
    /// Inode of its pid namespace.
    pub pid_namespace: Option<u64>,
    /// Whether that is another namespace than the caller's: then `pid` means another process here, or none.
    pub other_namespace: bool,
}

fn as_text<S: Serializer>(id: &ParticipantId, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(id)
}

/// A space's registry, mapped for reading, and the oracle beside it.
pub(super) struct Roster {
    registry: Registry,
    prober: Prober,
    namespace: u64,
}

impl Roster {
    pub(super) fn open(site: &Site) -> Result<Self> {
        let registry = Registry::open(site, Access::ReadOnly, false, 0)?;
        let name = Registry::name();
        let prober = Prober::new(&site.path(&name), registry.segment().file_id()).map_err(|source| {
            site.explain(format!("space {}", site.space), site.path(&name), "inspect", source)
        })?;
        Ok(Roster { registry, prober, namespace: ProcessInfo::own_pid_namespace() })
    }

    /// How many participants the space can have.
    pub(super) fn capacity(&self) -> u32 {
        self.registry.capacity()
    }

    /// Everybody who lives.
    pub(super) fn living(&self) -> std::io::Result<Vec<Who>> {
        let held = self.prober.held(self.registry.capacity())?;
        let of = |slot| self.registry.info(slot).map(|info| self.describe(info, Life::Alive));
        Ok(held.into_iter().filter_map(of).collect())
    }

    /// The participant `id`, asked about now.
    fn who(&self, id: ParticipantId) -> Who {
        match self.registry.info(id.slot()) {
            Some(info) if info.id == id => {
                let life = match self.prober.probe(id.slot()) {
                    Ok(Held::Yes) => Life::Alive,
                    Ok(Held::No) if self.prober.leads_to_registry() => Life::Dead,
                    _ => Life::Unknown,
                };
                self.describe(info, life)
            }
            // A successor has the slot, or nobody ever had this id.
            _ => unknown(id, Life::Dead),
        }
    }

    fn describe(&self, info: SlotInfo, life: Life) -> Who {
        Who {
            id: info.id,
            life,
            pid: Some(info.pid),
            uid: Some(info.uid),
            executable: Some(info.executable),
            started_ns: sys::started_ns(info.start_time),
            pid_namespace: (info.pid_namespace != 0).then_some(info.pid_namespace),
            other_namespace: info.pid_namespace != 0
                && self.namespace != 0
                && info.pid_namespace != self.namespace,
        }
    }
}

fn unknown(id: ParticipantId, life: Life) -> Who {
    Who {
        id,
        life,
        pid: None,
        uid: None,
        executable: None,
        started_ns: None,
        pid_namespace: None,
        other_namespace: false,
    }
}

/// The participant that a word in the space calls `id`.
pub(super) fn named(roster: &Result<Roster, Error>, id: ParticipantId) -> Who {
    match roster {
        Ok(roster) => roster.who(id),
        Err(_) => unknown(id, Life::Unknown),
    }
}

/// The participant whose attachment the kernel showed: whatever the registry says, it lives.
pub(super) fn attached(roster: &Result<Roster, Error>, id: ParticipantId) -> Who {
    Who { life: Life::Alive, ..named(roster, id) }
}
