//! Clients that do everything at once while some are killed: the history of each object is one that a single thread could have made,
//! and nothing is left of anybody.
//!
//! `PROCSHARE_SEED` repeats what the dice said.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use procshare::AtomicValue;
use procshare::manager::*;
use procshare_harness::{Child, Reexec, Rng};

use super::check::check;
use super::history::{Mishap, Op};
use super::models::{Bank, Dict as DictModel, List as ListModel, Permits, Queue as QueueModel};
use super::objects::{ACCOUNTS, NAMES, Objects, PERMITS, ROOM};
use super::record::{Death, Notes, Place};
use super::server::{Possessions, Served};
use super::shared::Shared;
use super::worker::{Orders, Worker};
use crate::support::{eventually, key, path};

/// By what each of the eight clients calls, and with how many threads.
const CREW: [(&str, u32); 8] = [
    ("ring", 1),
    ("ring", 3),
    ("ring", 1),
    ("socket", 1),
    ("socket", 2),
    ("socket", 1),
    ("ring", 2),
    ("tcp", 1),
];

/// A running client.
struct Client {
    child: Child,
    number: u32,
    place: usize,
}

/// What clients and storm share beside the server.
struct Words {
    clock: AtomicValue<u64>,
    stop: AtomicValue<bool>,
    names: [String; 2],
}

impl Words {
    fn new() -> Self {
        let names = ["clock", "stop"].map(|what| {
            let path = path(what);
            path.file_name().unwrap().to_str().unwrap().to_owned()
        });
        let (clock, stop) = (AtomicValue::create(&names[0], 1), AtomicValue::create(&names[1], false));
        Words { clock: clock.unwrap(), stop: stop.unwrap(), names }
    }

    fn tick(&self) -> u64 {
        self.clock.fetch_add(1).unwrap()
    }
}

impl Drop for Words {
    fn drop(&mut self) {
        let _ = AtomicValue::<u64>::unlink(&self.names[0]);
        let _ = AtomicValue::<bool>::unlink(&self.names[1]);
    }
}

/// What a storm did.
#[derive(Debug, Default)]
struct Tally {
    kills: u64,
    stops: u64,
    answered: usize,
    pending: usize,
    histories: usize,
    longest: usize,
}

struct Storm {
    random: Rng,
    words: Words,
    server: Served,
    manager: Manager,
    numbers: u32,
    tally: Tally,
}

impl Storm {
    fn new(seed: u64) -> Self {
        let server = Served::start();
        let manager = Manager::builder().key(key()).connect(&server.near).unwrap();
        Storm {
            random: Rng::new(seed),
            words: Words::new(),
            server,
            manager,
            numbers: 0,
            tally: Tally::default(),
        }
    }

    fn orders(&mut self, place: usize, directory: &Path) -> Orders {
        self.numbers += 1;
        let (transport, threads) = CREW[place];
        let (address, transport) = match transport {
            "tcp" => (&self.server.far, "socket"),
            near => (&self.server.near, near),
        };
        Orders {
            address: address.to_string(),
            transport: transport.into(),
            process: self.numbers,
            threads,
            seed: self.random.next_u64(),
            directory: directory.to_owned(),
            clock: self.words.names[0].clone(),
            stop: self.words.names[1].clone(),
        }
    }

    fn client(&mut self, place: usize, directory: &Path) -> Client {
        let orders = self.orders(place, directory);
        let entry = Reexec::new("linear::worker::entry_worker");
        let child = entry.argument(serde_json::to_string(&orders).unwrap()).spawn().unwrap();
        Client { child, number: orders.process, place }
    }

    /// Waits until the clients have done so much, and sees that they all live.
    fn let_work(&self, crew: &mut [Client], ticks: u64) {
        let end = self.words.clock.load() + ticks;
        eventually("the clients go on", || {
            for client in &mut *crew {
                let exit = client.child.try_wait();
                assert!(exit.is_none(), "client {} has ended: {exit:?}", client.number);
            }
            std::thread::sleep(Duration::from_millis(1));
            self.words.clock.load() >= end
        });
    }

    /// One blow: a client is killed, or it or the server is stopped for a while.
    fn strike(&mut self, crew: &mut Vec<Client>, deaths: &mut Vec<Death>, directory: &Path) {
        let ticks = 20 + self.random.below(500);
        self.let_work(crew, ticks);
        if self.random.one_in(8) {
            self.tally.stops += 1;
            self.server.stop_for(Duration::from_millis(self.random.below(20)));
        }
        // Some are killed on their way in.
        let is_early = self.random.one_in(6);
        if !is_early {
            let all = crew.len() as u64 + 1;
            eventually("all are in", || self.manager.stats().unwrap().clients == all);
        }
        let mut victim = crew.swap_remove(self.random.below(crew.len() as u64) as usize);
        if self.random.one_in(4) {
            // Whatever it holds, the others go on with what is not held.
            self.tally.stops += 1;
            victim.child.signal(libc::SIGSTOP);
            std::thread::sleep(Duration::from_millis(self.random.below(10)));
            if self.random.one_in(2) {
                victim.child.signal(libc::SIGCONT);
            }
        }
        assert!(victim.child.try_wait().is_none(), "client {} has ended by itself", victim.number);
        let how = if CREW[victim.place].0 == "tcp" { Mishap::Lost } else { Mishap::Died };
        let at = self.words.tick();
        let _ = victim.child.kill();
        self.tally.kills += 1;
        if !is_early {
            let all = crew.len() as u64 + 1;
            eventually("its end is noticed", || self.manager.stats().unwrap().clients == all);
        }
        let noticed = if is_early { u64::MAX } else { self.words.tick() };
        deaths.push(Death { process: victim.number, at, noticed, how });
        crew.push(self.client(victim.place, directory));
    }

    /// Kills so many clients, lets the others end, looks at everything, and sees that all of it can have been.
    fn round(&mut self, kills: u64) {
        let directory = Scratch::new();
        // When this has come back, the server has closed what it handed us.
        self.manager.ping().unwrap();
        let before = self.server.possessions();
        let objects = Objects::open(&self.manager).unwrap();
        self.words.stop.store(false).unwrap();
        let mut crew: Vec<Client> = (0..CREW.len()).map(|place| self.client(place, &directory.0)).collect();
        let mut deaths = Vec::new();
        (0..kills).for_each(|_| self.strike(&mut crew, &mut deaths, &directory.0));
        self.let_work(&mut crew, 200);
        self.words.stop.store(true).unwrap();
        crew.into_iter().for_each(|client| client.child.wait(Duration::from_secs(60)).unwrap());
        eventually("the dead are gone", || self.manager.stats().unwrap().clients == 1);
        assert_eq!(self.manager.stats().unwrap().waiting, 0, "nobody is there to wait");
        let quiet = self.words.tick();
        deaths.iter_mut().for_each(|death| death.noticed = death.noticed.min(quiet));
        let last = Orders { process: 0, ..self.orders(0, &directory.0) };
        Worker::new(&objects, &last, 0).finish().unwrap();
        self.judge(Notes::read(&directory.0), &deaths);
        drop(objects);
        NAMES.iter().for_each(|name| self.manager.unlink(name).unwrap());
        eventually("no object is left", || self.manager.stats().unwrap().objects == 0);
        assert_eq!(self.manager.stats().unwrap().bytes, 0, "memory of nothing");
        let what = format!("no descriptor and no mapping is left, as before: {before:?}");
        eventually(&what, || self.server.possessions().same_as(&before));
    }

    fn judge(&mut self, notes: Notes, deaths: &[Death]) {
        assert!(notes.ended.is_empty(), "connections were lost: {:?}", notes.ended);
        self.tally.answered += notes.answered;
        self.tally.pending += notes.pending;
        for ((place, key), history) in notes.histories(deaths) {
            self.tally.histories += 1;
            self.tally.longest = self.tally.longest.max(history.len());
            let verdict = explain(place, &history);
            assert!(verdict.is_ok(), "{place:?} {key}: {}", verdict.unwrap_err());
        }
    }
}

/// The server is stopped, goes on, and is killed while everybody uses it or waits for it: all are told, with what they may believe.
#[test]
fn a_server_that_is_killed_in_the_middle_is_told_to_all() {
    procshare_harness::watchdog(Duration::from_secs(120), || {
        let seed = Rng::seed_from_env();
        println!("PROCSHARE_SEED={seed}");
        let (mut storm, directory) = (Storm::new(seed), Scratch::new());
        let objects = Objects::open(&storm.manager).unwrap();
        let mut crew: Vec<Client> = (0..CREW.len()).map(|place| storm.client(place, &directory.0)).collect();
        let plain =
            Manager::builder().key(key()).transport(Transport::Socket).connect(&storm.server.near).unwrap();
        let waits: Vec<_> = [&storm.manager, &plain].into_iter().flat_map(waiters).collect();
        eventually("all wait", || storm.manager.stats().unwrap().waiting >= waits.len() as u64);
        let all = CREW.len() as u64 + 2;
        eventually("all are in", || storm.manager.stats().unwrap().clients == all);
        storm.let_work(&mut crew, 500);
        // Longer than anybody spins, yields or naps.
        storm.server.stop_for(Duration::from_millis(200));
        storm.let_work(&mut crew, 500);
        assert!(waits.iter().all(|wait| !wait.is_finished()), "nobody notices a stop");
        let killed = Instant::now();
        storm.server.signal(libc::SIGKILL);
        for wait in waits {
            let told = wait.join().unwrap();
            assert!(matches!(told, ManagerError::Disconnected { maybe_done: true, .. }), "{told}");
        }
        let waited = killed.elapsed();
        crew.into_iter().for_each(|client| client.child.wait(Duration::from_secs(60)).unwrap());
        println!("told to all that waited in {waited:?}, to all clients in {:?}", killed.elapsed());
        assert!(matches!(objects.count.get(), Err(ManagerError::Disconnected { maybe_done: false, .. })));
        let notes = Notes::read(&directory.0);
        let threads: usize = CREW.iter().map(|&(_, threads)| threads as usize).sum();
        assert_eq!(notes.ended.len(), threads, "each of their threads: {:?}", notes.ended);
        // What had been told until then can have been.
        for ((place, key), history) in notes.histories(&[]) {
            let verdict = explain(place, &history);
            assert!(verdict.is_ok(), "{place:?} {key}: {}", verdict.unwrap_err());
        }
    });
}

/// Threads that wait for what never comes, each in another way.
fn waiters(manager: &Manager) -> Vec<std::thread::JoinHandle<ManagerError>> {
    type Wait = Box<dyn FnOnce() -> Option<procshare::Error> + Send>;
    let event = Event::anonymous(manager).unwrap();
    let (lock, permits) = (Lock::anonymous(manager).unwrap(), Semaphore::anonymous(manager, 0).unwrap());
    let (queue, full) = (Queue::<u8>::anonymous(manager, None), Queue::<u8>::anonymous(manager, Some(1)));
    let (queue, full, barrier) = (queue.unwrap(), full.unwrap(), Barrier::anonymous(manager, 2).unwrap());
    let tasks = JoinableQueue::<u8>::anonymous(manager, None).unwrap();
    full.put(1).unwrap();
    tasks.put(1).unwrap();
    // It stays: a guard that is leaked is held until its process ends.
    std::mem::forget(lock.lock().unwrap());
    let waits: [Wait; 7] = [
        Box::new(move || event.wait().err().map(Into::into)),
        Box::new(move || lock.lock().err().map(Into::into)),
        Box::new(move || permits.acquire().err().map(Into::into)),
        Box::new(move || queue.get().err().map(Into::into)),
        Box::new(move || full.put(2).err().map(Into::into)),
        Box::new(move || barrier.wait().err().map(Into::into)),
        Box::new(move || tasks.join().err().map(Into::into)),
    ];
    let start = |wait: Wait| {
        std::thread::spawn(move || match wait() {
            Some(procshare::Error::Manager(error)) => *error.downcast().unwrap(),
            other => panic!("{other:?}"),
        })
    };
    waits.into_iter().map(start).collect()
}

/// Whether there is an order that explains what an object's clients were told.
fn explain(place: Place, history: &[Op]) -> Result<(), String> {
    let verdict = match place {
        Place::Dict | Place::Whole => check(DictModel::default(), history),
        Place::List => check(ListModel::default(), history),
        Place::Value => check(ListModel(vec![0]), history),
        Place::Lock | Place::Relay => check(Permits::lock(), history),
        Place::Shared => check(Shared::default(), history),
        Place::Permits => check(Permits::semaphore(PERMITS), history),
        Place::Queue => check(QueueModel::new(ROOM as usize), history),
        Place::Tasks => check(QueueModel::new(usize::MAX), history),
        Place::Bank => check(Bank::new(ACCOUNTS), history),
    };
    verdict.map_err(|verdict| verdict.0)
}

/// A directory that goes with its test.
pub(crate) struct Scratch(pub(crate) PathBuf);

impl Scratch {
    pub(crate) fn new() -> Self {
        let path = path("notes");
        std::fs::create_dir(&path).unwrap();
        Scratch(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }
}

/// So many rounds, each with so many kills; the server's memory does not grow.
fn storm(rounds: u64, kills: u64) {
    let seed = Rng::seed_from_env();
    // Seen if the test fails.
    println!("PROCSHARE_SEED={seed}");
    let (mut storm, began) = (Storm::new(seed), Instant::now());
    let mut steady: Option<Possessions> = None;
    for round in 0..rounds {
        storm.round(kills);
        let now = storm.server.possessions();
        // The first rounds fill what is kept for reuse.
        if round == rounds / 4 {
            steady = Some(now);
        } else if let Some(steady) = &steady {
            let most = steady.memory * 5 / 4 + (8 << 20);
            assert!(now.memory <= most, "{} bytes, which were {}", now.memory, steady.memory);
        }
    }
    println!("{:?} in {:.1?}", storm.tally, began.elapsed());
}

#[test]
fn what_clients_are_told_can_have_been() {
    procshare_harness::watchdog(Duration::from_secs(120), || storm(4, 20));
}

/// `PROCSHARE_KILLS` clients are killed, 2,000 unless it says otherwise.
#[test]
#[ignore = "takes minutes: see ci/long.sh"]
fn what_clients_are_told_can_have_been_long() {
    let kills = std::env::var("PROCSHARE_KILLS").ok().and_then(|kills| kills.parse().ok()).unwrap_or(2000u64);
    procshare_harness::watchdog(Duration::from_secs(3600), || storm(kills.div_ceil(20), 20));
}
