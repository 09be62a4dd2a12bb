//! What can be said on the command line.

use std::path::PathBuf;

use clap::{Args as ClapArgs, Parser, Subcommand};
use procshare::Trust;

use crate::address::Space;
use crate::demo::MOST_WORKERS;

#[cfg(unix)]
mod manager;

#[cfg(unix)]
pub(crate) use self::manager::{ConnectArgs, KeyArgs, Serve};

const EXIT_CODES: &str = "\
Exit codes:
  0  done, and all is well
  1  a problem was found, or something could not be done
  2  the command line is wrong";

/// Look at the shared memory of your programs, clean it, and see it work.
///
/// Objects live in spaces. A space is a directory: one of yours, called by its name, or any other, called by its path. An object
/// is called NAME (in the space 'default'), SPACE/NAME, or /DIR/NAME.
#[derive(Parser)]
#[command(name = "procshare", version, arg_required_else_help = true, after_help = EXIT_CODES)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    Ls(Ls),
    Show(Show),
    Tail(Tail),
    Rm(Rm),
    Gc(Gc),
    Doctor(Doctor),
    #[cfg(unix)]
    Serve(Serve),
    Demo(Demo),
    #[cfg(target_os = "linux")]
    Torture(Torture),
    #[cfg(target_os = "linux")]
    #[command(hide = true)]
    TortureWorker(TortureWorker),
}

/// Where to look.
#[derive(ClapArgs, Clone, Default)]
pub(crate) struct SpaceArgs {
    /// The space: a name, or the path of a directory (with a slash in it)
    #[arg(long, value_name = "NAME|/DIR", value_parser = Space::parse)]
    pub(crate) space: Option<Space>,

    /// Whom to trust in a space called by its path: owner, group, user=UID, or anyone
    #[arg(long, value_name = "WHOM", value_parser = parse_trust)]
    pub(crate) trust: Option<Trust>,
}

/// List the objects of a space, or of all your spaces: kind, type, size, who is attached, who holds what
///
/// Whoever is attached is alive: the system ends an attachment with its process. Looking leaves no trace: nothing is
/// written, and no space is joined.
#[derive(ClapArgs)]
#[command(after_help = "\
Examples:
  procshare ls                          everything in all your spaces
  procshare ls jobs                     the space 'jobs'
  procshare ls /srv/shared --trust group
  procshare ls --manager /run/user/1000/jobs.sock
  procshare ls --json | jq '.spaces[].objects[] | select(.attached == [])'

Columns:
  NAME      of the object; @ and 8 digits for an anonymous one
  KIND      what it is; TYPE what it holds; SIZE of its file, header included
  LIFE      named: until somebody removes it; scoped: until its last user leaves
  ATTACHED  processes that have it open, each as its id and its program
  STATE     who holds it (dead or alive), and its figures; 'inconsistent': a holder died or
            panicked, and nobody has declared what it protects consistent since; '-' or
            nothing: there is nothing to say. 'procshare show' has all of it")]
pub(crate) struct Ls {
    /// The space, as for --space
    #[arg(value_name = "SPACE", value_parser = Space::parse, conflicts_with = "space")]
    pub(crate) positional: Option<Space>,

    /// List the objects of the manager at this address instead: unix:/path, a path with a slash, tcp:HOST:PORT or
    /// tls:HOST:PORT
    #[cfg(unix)]
    #[arg(long, value_name = "ADDRESS", conflicts_with_all = ["positional", "space", "trust"])]
    pub(crate) manager: Option<procshare::manager::Address>,

    #[cfg(unix)]
    #[command(flatten)]
    pub(crate) connect: ConnectArgs,

    #[command(flatten)]
    pub(crate) place: SpaceArgs,

    /// Print one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

/// Show all there is to know of an object: header, users, holder, waiters, state
#[derive(ClapArgs)]
#[command(after_help = "\
Examples:
  procshare show jobs                   the object 'jobs' of the space 'default'
  procshare show work/jobs              the object 'jobs' of the space 'work'
  procshare show /srv/shared/jobs       the object 'jobs' of the space in /srv/shared
  procshare show @1f0c77d2              an anonymous object, as ls prints it
  procshare show jobs --manager /run/user/1000/jobs.sock
  procshare show @7 --manager /run/user/1000/jobs.sock   the object with number 7

Lines, beside those that ls has as columns:
  id            a participant: the slot it has in its space, and how many have had that slot
  birth         the object's identity: another one of the same name has another
  fingerprint   of the type's name and layout: programs with another one are refused
  holder        who holds it now; '(dead)': the next who asks for it takes it over, and is told
  handed over   held by nobody: until any process calls release()
  inconsistent  a holder died or panicked; '-' once somebody called make_consistent
  waiters       whether somebody may be asleep on it
  watcher       the waiter that looks most often whether the holder lives

Of a manager's object: its kind and state, the clients that use it, hold something of it or wait in it,
how many references keep it, and its first elements")]
pub(crate) struct Show {
    /// The object: NAME, SPACE/NAME, /DIR/NAME, or @ and the beginning of an anonymous object's name
    #[arg(value_name = "NAME")]
    pub(crate) name: String,

    /// Show an object of the manager at this address instead: unix:/path, a path with a slash, tcp:HOST:PORT or
    /// tls:HOST:PORT
    #[cfg(unix)]
    #[arg(long, value_name = "ADDRESS", conflicts_with_all = ["space", "trust"])]
    pub(crate) manager: Option<procshare::manager::Address>,

    #[cfg(unix)]
    #[command(flatten)]
    pub(crate) connect: ConnectArgs,

    #[command(flatten)]
    pub(crate) place: SpaceArgs,

    /// Print one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

/// Remove objects by name, damaged ones too
///
/// What somebody is attached to is not removed without --force. With it, only the name goes: whoever is attached keeps
/// using the object, and whoever comes later makes another one.
#[derive(ClapArgs)]
#[command(after_help = "\
Examples:
  procshare rm jobs results
  procshare rm --space work jobs
  procshare rm --force /srv/shared/jobs --trust group")]
pub(crate) struct Rm {
    /// The objects, as for show
    #[arg(value_name = "NAME", required = true)]
    pub(crate) names: Vec<String>,

    /// Remove even what somebody is attached to
    #[arg(short, long)]
    pub(crate) force: bool,

    #[command(flatten)]
    pub(crate) place: SpaceArgs,

    /// Print one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

/// Remove what the dead left: scoped objects without users, and unfinished files; never a named object
///
/// The library does the same whenever a process enters a space.
#[derive(ClapArgs)]
#[command(after_help = "\
Examples:
  procshare gc                          all your spaces
  procshare gc --space work")]
pub(crate) struct Gc {
    #[command(flatten)]
    pub(crate) place: SpaceArgs,

    /// Print one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

/// Check system, limits, file systems and spaces, and say what to do about each finding
///
/// Makes and removes small files in the directories it checks, to see whether publication and locks work there.
/// Exits with 1 if something does not work; warnings count only with --strict.
#[derive(ClapArgs)]
#[command(after_help = "\
Examples:
  procshare doctor                      the machine and all your spaces
  procshare doctor --space /srv/shared --trust group
  procshare doctor --json | jq '.findings[] | select(.level != \"good\")'")]
pub(crate) struct Doctor {
    #[command(flatten)]
    pub(crate) place: SpaceArgs,

    /// Exit with 1 for warnings, too
    #[arg(long)]
    pub(crate) strict: bool,

    /// Print one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

/// Print the items of a queue, a pipe or a broadcast as they come, without taking any
///
/// Nobody notices: nothing is written, nobody waits for it. What is overwritten between two looks is missed, and counted; of queues
/// of bytes and with a codec, queues with two ends, and pipes also what was taken between two looks.
#[derive(ClapArgs)]
#[command(after_help = "\
Examples:
  procshare tail jobs                   what is put from now on, until the queue is closed
  procshare tail jobs --all --count 10  the first ten of those that lie in it, taken or not
  procshare tail work/prices --json | jq .value

Printed are each item's position and its value (text, or bytes as hex, where the type is not known by its name; in a
pipe also which end sent it), and every second how many came, how many wait, and how many were missed")]
pub(crate) struct Tail {
    /// The object: NAME, SPACE/NAME, /DIR/NAME, or @ and the beginning of an anonymous object's name
    #[arg(value_name = "NAME")]
    pub(crate) name: String,

    #[command(flatten)]
    pub(crate) place: SpaceArgs,

    /// Begin with what is there, not with what comes
    #[arg(long)]
    pub(crate) all: bool,

    /// End after so many items
    #[arg(long, value_name = "N")]
    pub(crate) count: Option<u64>,

    /// End after so many seconds
    #[arg(long, value_name = "S")]
    pub(crate) seconds: Option<f64>,

    /// Look every so many milliseconds
    #[arg(long, value_name = "MS", default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=60_000))]
    pub(crate) every: u64,

    /// Print one JSON object on each line
    #[arg(long)]
    pub(crate) json: bool,
}

/// Tally text files with worker processes, in shared memory, through a queue and by proxies, and check the sums against a count
/// in one process
///
/// In shared memory workers take files off a shared counter and commit each file's counts in one step that no death can tear.
/// Through a queue, producers send chunks that consumers tally. By proxies, workers ask the server of a manager, in transactions
/// over lists and a dict. Killed workers are replaced, and no file is lost or counted twice. Directories are searched for text
/// files; hidden ones and what .gitignore names are left out. Exits with 1 if the counts differ.
///
/// The last table has the seconds of each way with starting and ending processes and, with --kill, replacing them; the seconds
/// at work, from the first file that was taken to the last that was done; and these compared with shared memory.
#[derive(ClapArgs)]
#[command(after_help = "\
Examples:
  procshare demo                        the text files below this directory
  procshare demo src README.md --workers 8
  procshare demo --kill --seed 7        kill workers while they count
  procshare demo --json | jq .words")]
pub(crate) struct Demo {
    /// Files and directories; the current directory if none is named
    #[arg(value_name = "PATH")]
    pub(crate) paths: Vec<PathBuf>,

    /// How many worker processes; as many as there are processors, unless said
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=MOST_WORKERS as i64))]
    pub(crate) workers: Option<u8>,

    /// Kill workers (SIGKILL) at random moments
    #[arg(long)]
    pub(crate) kill: bool,

    /// Where the random moments begin; printed, so that a run can be repeated
    #[arg(long, value_name = "S", requires = "kill")]
    pub(crate) seed: Option<u64>,

    /// Print one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

/// Let processes fight for every kind of object, kill, stop and fork some of them, and have the survivors check every promise
///
/// Kills happen at random moments and, in probes, while the victim surely holds what all others wait for; those are timed.
/// Every fifth probe lets the waiters sleep for a second first. Uses a space of its own. Exits with 1 if anything hangs or a
/// promise is broken.
///
/// Printed are, for each kind, how many processes were killed, stopped and forked; how many rounds and turns the others had; how
/// often somebody got what a killed one had held ('recoveries'); and how long that took in the probes, in milliseconds from the
/// kill: in all of them, and ('asleep') in those whose waiters had slept for a second.
#[cfg(target_os = "linux")]
#[derive(ClapArgs)]
#[command(after_help = "\
Examples:
  procshare torture                     everything, 200 kills each
  procshare torture --object Lock,Queue --kills 5000 --seed 7
  procshare torture --object Lock --idle
  procshare torture --json | jq '.objects[] | {object, hangs, violations}'")]
pub(crate) struct Torture {
    /// What to torture: Lock, PosixLock, LockArray, RLock, RwLock, Semaphore, BoundedSemaphore, Event, Condition, Barrier, Latch,
    /// Once, Value, AtomicValue, Array, Queue, BytesQueue, SpscQueue, JoinableQueue, Pipe, Broadcast, or all
    #[arg(long, value_name = "NAME,..", value_delimiter = ',', default_value = "all")]
    pub(crate) object: Vec<String>,

    /// How many processes to kill, for each kind of object
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    pub(crate) kills: u64,

    /// Where the random moments begin; printed, so that a run can be repeated as far as the machine allows
    #[arg(long, value_name = "S")]
    pub(crate) seed: Option<u64>,

    /// How many processes fight for an object
    #[arg(long, value_name = "N", default_value_t = 6, value_parser = clap::value_parser!(u8).range(2..=60))]
    pub(crate) contenders: u8,

    /// Also measure the processor time of 64 waiters asleep on each object, which takes 6 seconds each
    #[arg(long)]
    pub(crate) idle: bool,

    /// Print one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

/// One contender of the torture; started by it.
#[cfg(target_os = "linux")]
#[derive(ClapArgs)]
pub(crate) struct TortureWorker {
    /// Which of the contenders it is
    pub(crate) row: usize,
    /// The how manieth process
    pub(crate) incarnation: u64,
    /// The shared objects
    pub(crate) plan: String,
}

fn parse_trust(text: &str) -> Result<Trust, String> {
    match text {
        "owner" => Ok(Trust::Owner),
        "group" => Ok(Trust::Group),
        "anyone" => Ok(Trust::Anyone),
        _ => match text.strip_prefix("user=").map(str::parse) {
            Some(Ok(uid)) => Ok(Trust::User(uid)),
            _ => Err("use owner, group, user=UID (a number), or anyone".into()),
        },
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_declarations_are_consistent() {
        Args::command().debug_assert();
    }

    #[test]
    fn trust_is_read_as_the_message_says() {
        assert_eq!(parse_trust("user=1000"), Ok(Trust::User(1000)));
        assert_eq!(parse_trust("group"), Ok(Trust::Group));
        for wrong in ["", "user", "user=", "user=root", "user=-1", "Owner"] {
            assert!(parse_trust(wrong).is_err(), "{wrong:?}");
        }
    }
}
