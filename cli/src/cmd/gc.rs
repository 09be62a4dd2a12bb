//! `procshare gc`

use std::io::Write;

use anyhow::Result;
use procshare::Collected;
use serde_json::json;

use crate::address::{self, Place};
use crate::args::Gc;
use crate::output::{self, Verdict};

/// Removes what the dead left in one space or in all.
pub(crate) fn run(args: &Gc) -> Result<Verdict> {
    let mut swept = Vec::new();
    for space in address::chosen(Place::of(&args.place)?)? {
        let collected = space.place.open().and_then(|space| space.collect());
        swept.push((space.name, collected));
    }
    let problem = swept.iter().any(|(_, collected)| collected.is_err());
    if args.json {
        let spaces: Vec<_> = swept
            .iter()
            .map(|(name, collected)| match collected {
                Ok(Collected { objects, remains, .. }) => {
                    json!({ "name": name, "objects": objects, "remains": remains })
                }
                Err(error) => json!({ "name": name, "error": error.to_string() }),
            })
            .collect();
        output::json(&json!({ "spaces": spaces }))?;
    } else {
        print(&swept)?;
    }
    Ok(Verdict::problem_if(problem))
}

fn print(swept: &[(String, procshare::Result<Collected>)]) -> Result<()> {
    let mut out = output::stdout();
    let mut total = 0;
    for (name, collected) in swept {
        match collected {
            Ok(Collected { objects, remains, .. }) => {
                total += objects.len() + remains.len();
                for file in objects {
                    writeln!(out, "removed object {} of space {name}", address::shown(file))?;
                }
                for file in remains {
                    writeln!(out, "removed remains {file} of space {name}")?;
                }
            }
            Err(error) => output::complain(format_args!("space {name}: {error}")),
        }
    }
    if total == 0 {
        writeln!(out, "nothing to remove")?;
    }
    Ok(out.flush()?)
}
