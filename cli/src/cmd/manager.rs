//! What `ls` tells of a manager.

use std::io::Write;

use anyhow::Result;
use procshare::manager::{Address, Key, Manager};
use serde_json::json;

use crate::args::KeyArgs;
use crate::output::{self, Verdict};

/// The key that the command line names.
pub(super) fn key(args: &KeyArgs) -> Result<Option<Key>> {
    Ok(match (&args.key_file, &args.key_env) {
        (Some(path), _) => Some(Key::from_file(path)?),
        (None, Some(name)) => Some(Key::from_env(name)?),
        (None, None) => None,
    })
}

/// Lists a manager's objects, and what it has in all.
pub(super) fn list(address: &Address, keys: &KeyArgs, as_json: bool) -> Result<Verdict> {
    let mut connector = Manager::builder();
    if let Some(key) = key(keys)? {
        connector = connector.key(key);
    }
    let manager = connector.connect(address)?;
    let (objects, stats) = (manager.objects()?, manager.stats()?);
    if as_json {
        output::json(&json!({ "manager": address.to_string(), "objects": objects, "stats": stats }))?;
        return Ok(Verdict::Fine);
    }
    let mut table = output::table(["NUMBER", "KIND", "NAME", "ELEMENTS", "REFERENCES"]);
    for object in &objects {
        table.add_row([
            object.number.to_string(),
            object.kind.clone(),
            // Names come from others: nothing in them shall reach the terminal as a command.
            object.name.as_ref().map_or("-".into(), |name| name.escape_debug().to_string()),
            object.len.map_or("-".into(), |len| len.to_string()),
            object.references.to_string(),
        ]);
    }
    let mut out = output::stdout();
    if !objects.is_empty() {
        writeln!(out, "{}", table.trim_fmt())?;
    }
    writeln!(
        out,
        "{} objects in {} bytes; {} clients, this one included; {} calls wait",
        stats.objects, stats.bytes, stats.clients, stats.waiting
    )?;
    out.flush()?;
    Ok(Verdict::Fine)
}
