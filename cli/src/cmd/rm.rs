//! `procshare rm`

use std::io::Write;

use anyhow::{Result, bail};
use serde_json::json;

use crate::address::Address;
use crate::args::{Rm, SpaceArgs};
use crate::output::{self, Verdict};

/// Removes objects by name; goes on after a failure.
pub(crate) fn run(args: &Rm) -> Result<Verdict> {
    let (mut removed, mut failed) = (Vec::new(), Vec::new());
    for text in &args.names {
        match remove(text, &args.place, args.force) {
            Ok(name) => removed.push(name),
            Err(error) => failed.push((text, error)),
        }
    }
    if args.json {
        let failed: Vec<_> =
            failed.iter().map(|(name, error)| json!({ "name": name, "error": error.to_string() })).collect();
        output::json(&json!({ "removed": removed, "failed": failed }))?;
    } else {
        for (_, error) in &failed {
            output::complain(error);
        }
        let mut out = output::stdout();
        for name in &removed {
            writeln!(out, "removed {name}")?;
        }
        out.flush()?;
    }
    Ok(Verdict::problem_if(!failed.is_empty()))
}

/// Removes one object; returns where it was.
fn remove(text: &str, args: &SpaceArgs, force: bool) -> Result<String> {
    let address = Address::parse(text, args)?;
    let inspector = address.place.inspect()?;
    let name = address.find(&inspector)?;
    if !force {
        let entry = inspector.entry(&name)?;
        if let Some(user) = entry.attached.first() {
            let more = match entry.attached.len() - 1 {
                0 => String::new(),
                more => format!(" and {more} more"),
            };
            let user = output::who(user);
            bail!(
                "'{text}' is in use by {user}{more}: end them first, or take only its name away with --force"
            );
        }
        if entry.readers {
            bail!("'{text}' is in use by readers: end them first, or take only its name away with --force");
        }
    }
    address.place.open()?.unlink(&name)?;
    Ok(inspector.directory().join(name).display().to_string())
}
