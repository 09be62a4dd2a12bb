//! Pictures of 1 MiB go from a camera to a viewer without being copied: written in place, read in place.
//!
//! `cargo run --release --example frames`

use std::process::Command;
use std::time::Instant;

use procshare::bytemuck::{Pod, Zeroable};
use procshare::{Handle, Plain, Queue};

const PIXELS: usize = (1 << 20) - 16;
const FRAMES: u64 = 200;

/// One picture. Nothing of this size should ever be on a stack.
#[derive(Clone, Copy, Pod, Zeroable, Plain)]
#[bytemuck(crate = "procshare::bytemuck")]
#[repr(C)]
struct Frame {
    number: u64,
    sum: u64,
    pixels: [u8; PIXELS],
}

fn camera(frames: &Queue<Frame>) -> procshare::Result<()> {
    for number in 0..FRAMES {
        let mut slot = frames.reserve()?; // a place in shared memory, this process's alone
        let frame = slot.zeroed();
        (frame.number, frame.sum) = (number, number * PIXELS as u64);
        frame.pixels.fill(number as u8);
        slot.commit_in_place(); // one store; dying before it leaves nothing
    }
    frames.close()
}

/// How many frames came, whole and in order.
fn view(frames: &Queue<Frame>) -> u64 {
    let mut next = 0;
    while let Ok(frame) = frames.peek() {
        let sum: u64 = frame.pixels.iter().map(|pixel| u64::from(*pixel)).sum();
        assert_eq!((frame.number, frame.sum, sum), (next, next * PIXELS as u64, next % 256 * PIXELS as u64));
        frame.release();
        next += 1;
    }
    next
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    if let Some(handle) = std::env::args().nth(1) {
        return Ok(camera(&serde_json::from_str::<Handle<Queue<Frame>>>(&handle)?.attach()?)?);
    }
    let frames = Queue::<Frame>::anonymous(4)?;
    let handle = serde_json::to_string(&frames)?;
    let started = Instant::now();
    let mut camera = Command::new(std::env::current_exe()?).arg(handle).spawn()?;
    let seen = view(&frames);
    println!("{seen} of {FRAMES} pictures of 1 MiB in {:?}, each whole", started.elapsed());
    let ended = camera.wait()?;
    if seen == FRAMES && ended.success() { Ok(()) } else { Err("pictures were lost".into()) }
}
