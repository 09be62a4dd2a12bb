//! Our server and its rivals.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::ops::Range;
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdout, Command, Stdio};

use procshare::manager::{Address, Dict, Manager, Transport};
use redis::Commands;

use super::place::Place;
use super::{KEYS, Pipelined, Server, key, value};
use crate::failure::{Failure, same};
use crate::processes::{self, pipe, worker};
use crate::rows::ours::refused;

/// Runs a server in a forked process that is killed when this is dropped; `serve` says that it listens by a byte.
fn forked(
    serve: impl FnOnce(&mut dyn FnMut() -> Result<(), Failure>) -> Result<(), Failure>,
) -> Result<processes::Child<()>, Failure> {
    let (reader, writer) = pipe()?;
    let child = worker(|| {
        let mut ready =
            io::PipeWriter::from(writer.try_clone().map_err(|error| Failure::contender("dup", error))?);
        serve(&mut || {
            ready.write_all(b"+").map_err(|error| Failure::contender("tell that it listens", error))
        })
    })?;
    drop(writer);
    let told = io::PipeReader::from(reader).read_exact(&mut [0]);
    told.map_err(|error| Failure::contender("start a server", error))?;
    Ok(child)
}

/// procshare's manager; its clients call through what the library chooses, or through the socket.
pub(super) struct Ours<const CHOSEN: bool>(
    #[expect(dead_code, reason = "kept until the batch is over")] processes::Child<()>,
);

/// A connection, and the dict's proxy.
pub(super) struct OurClient {
    manager: Manager,
    dict: Dict<String, u64>,
}

impl OurClient {
    fn new(place: &Place, transport: Transport) -> Result<Self, Failure> {
        let connector = Manager::builder().transport(transport);
        let manager = connector.connect(&Address::Unix(place.socket())).map_err(refused)?;
        let dict = Dict::open_or_create(&manager, "dict").map_err(refused)?;
        Ok(OurClient { manager, dict })
    }
}

impl<const CHOSEN: bool> Server for Ours<CHOSEN> {
    type Client = OurClient;

    fn start(place: &Place) -> Result<Self, Failure> {
        let address = Address::Unix(place.socket());
        let child = forked(|ready| {
            let server = procshare::manager::Server::bind(&address).map_err(refused)?;
            ready()?;
            server.run().map_err(refused)
        })?;
        let client = Self::client(place)?;
        let pairs: Vec<_> = (0..KEYS).map(|number| (key(number).to_owned(), value(number))).collect();
        client.dict.extend(&pairs).map_err(refused)?;
        Ok(Ours(child))
    }

    fn client(place: &Place) -> Result<OurClient, Failure> {
        OurClient::new(place, if CHOSEN { Transport::Auto } else { Transport::Socket })
    }

    #[inline]
    fn get(client: &mut OurClient, number: u64) -> Result<u64, Failure> {
        client.dict.get(key(number)).map_err(refused)?.ok_or_else(|| refused("a key is missing"))
    }
}

impl<const CHOSEN: bool> Pipelined for Ours<CHOSEN> {
    fn get_many(client: &mut OurClient, numbers: Range<u64>) -> Result<Vec<u64>, Failure> {
        let mut pipeline = client.manager.pipeline();
        for number in numbers {
            let call = client.dict.calls().get(key(number)).map_err(refused)?;
            pipeline.add(call).map_err(refused)?;
        }
        pipeline
            .run()
            .into_iter()
            .map(|value| value.map_err(refused)?.ok_or_else(|| refused("a key is missing")))
            .collect()
    }
}

/// Redis without persistence, at a socket of its own.
pub(super) struct Redis {
    child: Child,
    /// Kept so that the server can go on writing its log.
    _log: BufReader<ChildStdout>,
}

fn redis_failed(error: redis::RedisError) -> Failure {
    Failure::contender("Redis", error)
}

impl Redis {
    fn spawn(place: &Place) -> Result<Child, Failure> {
        let mut command = Command::new("redis-server");
        command.args(["--port", "0", "--save", "", "--appendonly", "no", "--daemonize", "no"]);
        command.arg("--unixsocket").arg(place.socket()).arg("--dir").arg(place.directory());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        // SAFETY: between fork and exec only prctl is called, which may be called there and touches no memory.
        unsafe {
            command.pre_exec(|| {
                libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
                Ok(())
            });
        }
        command.spawn().map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => Failure::Unavailable("no redis-server was found".into()),
            _ => Failure::contender("redis-server", error),
        })
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        // It has nothing to save.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Server for Redis {
    type Client = redis::Connection;

    fn start(place: &Place) -> Result<Self, Failure> {
        let mut child = Redis::spawn(place)?;
        let out =
            child.stdout.take().ok_or_else(|| Failure::contender("redis-server", "it has no output"))?;
        let mut server = Redis { child, _log: BufReader::new(out) };
        let mut line = String::new();
        while !line.contains("ready to accept connections") {
            line.clear();
            let read = server._log.read_line(&mut line);
            if read.map_err(|error| Failure::contender("redis-server", error))? == 0 {
                return Err(Failure::contender("redis-server", "it ended at once"));
            }
        }
        let mut client = Redis::client(place)?;
        let pairs: Vec<_> = (0..KEYS).map(|number| (key(number), value(number))).collect();
        let () = client.mset(&pairs).map_err(redis_failed)?;
        Ok(server)
    }

    fn client(place: &Place) -> Result<redis::Connection, Failure> {
        let address = redis::ConnectionAddr::Unix(place.socket());
        redis::Client::open(address).and_then(|client| client.get_connection()).map_err(redis_failed)
    }

    #[inline]
    fn get(client: &mut redis::Connection, number: u64) -> Result<u64, Failure> {
        client.get(key(number)).map_err(redis_failed)
    }
}

impl Pipelined for Redis {
    fn get_many(client: &mut redis::Connection, numbers: Range<u64>) -> Result<Vec<u64>, Failure> {
        let mut pipe = redis::pipe();
        for number in numbers {
            pipe.get(key(number));
        }
        pipe.query(client).map_err(redis_failed)
    }
}

/// Sends back what comes: no dict, but what any server over a Unix socket pays at least.
pub(super) struct Echo(#[expect(dead_code, reason = "kept until the batch is over")] processes::Child<()>);

/// Bytes of a message; about those of a question.
const MESSAGE: usize = 32;

fn echo_failed(error: io::Error) -> Failure {
    Failure::contender("echo", error)
}

impl Server for Echo {
    type Client = UnixStream;

    fn start(place: &Place) -> Result<Self, Failure> {
        let child = forked(|ready| {
            let listener = UnixListener::bind(place.socket()).map_err(echo_failed)?;
            ready()?;
            let (mut stream, _) = listener.accept().map_err(echo_failed)?;
            let mut bytes = [0; MESSAGE];
            loop {
                stream.read_exact(&mut bytes).map_err(echo_failed)?;
                stream.write_all(&bytes).map_err(echo_failed)?;
            }
        })?;
        Ok(Echo(child))
    }

    fn client(place: &Place) -> Result<UnixStream, Failure> {
        UnixStream::connect(place.socket()).map_err(echo_failed)
    }

    fn get(client: &mut UnixStream, number: u64) -> Result<u64, Failure> {
        let sent = [value(number).to_ne_bytes(); MESSAGE / 8];
        client.write_all(sent.as_flattened()).map_err(echo_failed)?;
        let mut back = [[0; 8]; MESSAGE / 8];
        client.read_exact(back.as_flattened_mut()).map_err(echo_failed)?;
        let [first, .., last] = back.map(u64::from_ne_bytes);
        same("ends of a message", first, last)?;
        Ok(first)
    }
}
