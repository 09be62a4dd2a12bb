//! `procshare serve`

use std::io::Write;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use procshare::manager::{Limits, Server};
use serde_json::json;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use super::manager;
use crate::args::Serve;
use crate::output::{self, Verdict};

/// Serves until SIGTERM or SIGINT.
pub(crate) fn run(args: &Serve) -> Result<Verdict> {
    if let Some(level) = args.log {
        tracing_subscriber::fmt().with_max_level(level).with_writer(std::io::stderr).init();
    }
    let mut limits = Limits { idle: args.idle.map(Duration::from_secs), ..Limits::default() };
    limits.clients = args.clients.unwrap_or(limits.clients);
    limits.memory = args.memory.map_or(limits.memory, |mebibytes| mebibytes.saturating_mul(1 << 20));
    limits.objects = args.objects.unwrap_or(limits.objects);
    limits.ring = args.ring.unwrap_or(limits.ring);
    limits.lost = args.lost.map_or(limits.lost, Duration::from_secs);
    if let Some(mebibytes) = args.frame {
        limits.frame = usize::from(mebibytes) << 20;
        // As many times a frame as it is unless said.
        limits.unread = limits.unread.max(2 * limits.frame);
        limits.buffers = limits.buffers.max(16 * limits.frame);
    }
    let mut builder = Server::builder().limits(limits);
    for address in &args.addresses {
        builder = builder.address(address.clone());
    }
    if let Some(key) = manager::key(&args.key)? {
        builder = builder.key(key);
    }
    #[cfg(feature = "tls")]
    if let (Some(chain), Some(key)) = (&args.cert, &args.cert_key) {
        builder = builder.tls(procshare::manager::TlsIdentity::from_files(chain, key)?);
    }
    // Before the sockets: a signal that comes early ends the server as well.
    let mut signals = Signals::new([SIGTERM, SIGINT]).context("could not watch for signals")?;
    let server = builder.bind()?;
    let handle = server.handle();
    let ender = thread::spawn(move || {
        if signals.forever().next().is_some() {
            handle.shutdown();
        }
    });
    let addresses: Vec<String> = server.addresses().iter().map(ToString::to_string).collect();
    if args.json {
        output::json(&json!({ "addresses": addresses, "pid": std::process::id() }))?;
    } else {
        let mut out = output::stdout();
        for address in &addresses {
            writeln!(out, "serving at {address}")?;
        }
        out.flush()?;
    }
    server.run()?;
    ender.join().ok();
    Ok(Verdict::Fine)
}
