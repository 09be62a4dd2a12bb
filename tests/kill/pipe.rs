//! Deaths at the other end of a `Pipe`: what was sent is received, then comes `Closed`.

use std::sync::Mutex;
use std::time::Duration;

use procshare::{Error, Pipe, PipeEnd, PipeError, Space};
use procshare_harness::Scenario;

use crate::support::World;

kill_tests! {
    take: Alone;
    send: Alone;
    receive: Alone;
    close: Alone;
}

sleeper_tests! {
    wait_for_a_message;
}

/// A pipe and its left end.
struct Line {
    pipe: Pipe,
    left: Mutex<Option<PipeEnd>>,
}

type LineWorld = World<Line>;

const ROUSED: usize = 0;
const SOON: Duration = Duration::from_secs(10);
const MESSAGE: [u8; 70] = [7; 70];

fn line_in(space: &Space) -> Line {
    let pipe = Pipe::builder().space(space).create("it", 100).unwrap();
    // The survivor takes the left end.
    Line { pipe, left: Mutex::new(None) }
}

fn used(world: &LineWorld) -> &Pipe {
    world.space.join().unwrap();
    &world.object.pipe
}

/// Takes the left end, receives what there is, and comes to the end of it.
fn survive(world: &LineWorld) -> Result<Vec<Vec<u8>>, String> {
    let pipe = &world.object.pipe;
    let left = pipe.left().map_err(|error| error.to_string())?;
    // If the victim never took its end, this one is closed by nobody.
    match pipe.right() {
        Ok(right) => drop(right),
        Err(Error::Closed) => {}
        Err(other) => return Err(other.to_string()),
    }
    let mut received = Vec::new();
    loop {
        match left.recv_bytes_timeout(SOON) {
            Ok(message) => received.push(message),
            Err(PipeError::Closed) => break,
            Err(other) => return Err(other.to_string()),
        }
    }
    assert!(matches!(left.send_bytes(b""), Err(PipeError::Closed)));
    world.assert_slots();
    Ok(received)
}

fn scenario(name: &'static str, act: fn(&PipeEnd), least: usize) -> Scenario<'static, LineWorld> {
    Scenario::new(name, move || World::new(name, line_in))
        .prepared("right end", move |world, stage| {
            let right = used(world).right().unwrap();
            stage.run(|| act(&right))
        })
        .watch(|world| world.regions())
        .check(move |world, fates| {
            let received = survive(world)?;
            assert!(received.iter().all(|message| message[..] == MESSAGE));
            let most = 2;
            let enough = !fates[0].finished || received.len() >= least;
            if received.len() > most || !enough {
                Err(format!("received {}", received.len()))
            } else {
                Ok(())
            }
        })
}

fn send() -> Scenario<'static, LineWorld> {
    scenario("pipe-send", |right| right.send_bytes(&MESSAGE).unwrap(), 1)
}

fn receive() -> Scenario<'static, LineWorld> {
    scenario(
        "pipe-receive",
        |right| {
            assert!(matches!(right.try_recv_bytes(), Err(PipeError::WouldBlock)));
            right.send_bytes(&MESSAGE).unwrap();
            assert!(right.recv_bytes_timeout(Duration::from_millis(1)).is_err());
        },
        1,
    )
}

fn take() -> Scenario<'static, LineWorld> {
    Scenario::new("pipe-take", || World::new("pipe-take", line_in))
        .prepared("right end", |world, stage| {
            let pipe = used(world);
            stage.run(|| std::mem::forget(pipe.right().unwrap()))
        })
        .watch(|world| world.regions())
        .check(|world, _| {
            assert!(survive(world)?.is_empty());
            Ok::<(), String>(())
        })
}

fn close() -> Scenario<'static, LineWorld> {
    Scenario::new("pipe-close", || World::new("pipe-close", line_in))
        .prepared("right end", |world, stage| {
            let right = used(world).right().unwrap();
            right.send_bytes(&MESSAGE).unwrap();
            stage.run(|| drop(right))
        })
        .watch(|world| world.regions())
        .check(|world, _| {
            assert_eq!(survive(world)?, [MESSAGE]);
            Ok::<(), String>(())
        })
}

/// The victim waits at one end; the other one dies, too.
fn wait_for_a_message() -> Scenario<'static, LineWorld> {
    Scenario::new("pipe-wait", || World::new("pipe-wait", line_in))
        .prepared("right end", |world, stage| {
            let right = used(world).right().unwrap();
            stage.run(|| assert_eq!(right.recv_bytes().unwrap(), MESSAGE))
        })
        .when_asleep(|world| {
            let left = world.object.pipe.left().unwrap();
            left.send_bytes(&MESSAGE).unwrap();
            *world.object.left.lock().unwrap() = Some(left);
            world.note(ROUSED);
        })
        .watch(|world| world.regions())
        .check(|world, fates| {
            assert!(world.noted(ROUSED) || !fates[0].finished);
            if !world.noted(ROUSED) {
                assert!(survive(world)?.is_empty());
            }
            world.assert_slots();
            Ok::<(), String>(())
        })
}
