//! `procshare ls`

use std::io::Write;

use anyhow::Result;
use procshare::inspect::{ByteSize, Content, Entry, Fact, Facts, Inspector, Who};
use serde_json::{Map, Value, json};

use crate::address::{self, FoundOrNamed, Place};
use crate::args::{Ls, SpaceArgs};
use crate::output::{self, Verdict};

/// More users of one object than this are counted, not listed.
const SHOWN_USERS: usize = 3;

/// Lists the objects of one space, of all, or of a manager.
pub(crate) fn run(args: &Ls) -> Result<Verdict> {
    #[cfg(unix)]
    if let Some(address) = &args.manager {
        return super::manager::list(address, &args.connect, args.json);
    }
    let space = args.positional.clone().or_else(|| args.place.space.clone());
    let place = Place::of(&SpaceArgs { space, trust: args.place.trust })?;
    let one = place.is_some();
    let mut spaces = address::chosen(place)?;
    if one && let Some(FoundOrNamed { look: Err(_), .. }) = spaces.first() {
        let FoundOrNamed { look, .. } = spaces.remove(0);
        look?;
    }
    if args.json { print_json(&spaces) } else { print_text(&spaces) }
}

/// An object's state; what cannot be told is no state. The listing says by itself what is damaged.
fn state(inspector: &Inspector, entry: &Entry) -> Facts<Who> {
    match entry.content {
        Ok(_) => inspector.detail(&entry.name).unwrap_or_default(),
        Err(_) => Facts::new(),
    }
}

fn print_json(spaces: &[FoundOrNamed]) -> Result<Verdict> {
    let shown = spaces.iter().map(space_json).collect::<Result<Vec<_>>>()?;
    let problem = shown.iter().any(|space| space.get("error").is_some());
    output::json(&json!({ "spaces": shown }))?;
    Ok(Verdict::problem_if(problem))
}

fn space_json(space: &FoundOrNamed) -> Result<Value> {
    let inspector = match &space.look {
        Ok(inspector) => inspector,
        Err(error) => return Ok(json!({ "name": space.name, "error": error.to_string() })),
    };
    let mut objects = Vec::new();
    for entry in inspector.list()? {
        let mut object = serde_json::to_value(&entry)?;
        object["state"] = serde_json::to_value(state_map(state(inspector, &entry))?)?;
        objects.push(object);
    }
    let mut json = json!({
        "name": space.name,
        "directory": inspector.directory(),
        "capacity": inspector.capacity(),
        "participants": inspector.participants().unwrap_or_default(),
        "objects": objects,
    });
    if let Some(fault) = inspector.registry_fault() {
        json["error"] = fault.to_string().into();
    }
    Ok(json)
}

/// Facts as a JSON object.
pub(super) fn state_map(facts: Facts<Who>) -> Result<Map<String, Value>> {
    facts.into_iter().map(|(label, fact)| Ok((label.to_owned(), serde_json::to_value(fact)?))).collect()
}

fn print_text(spaces: &[FoundOrNamed]) -> Result<Verdict> {
    let mut out = output::stdout();
    let mut problem = false;
    if spaces.is_empty() {
        writeln!(out, "you have no spaces in {}", procshare::Space::root().display())?;
    }
    for (index, space) in spaces.iter().enumerate() {
        if index > 0 {
            writeln!(out)?;
        }
        match &space.look {
            Ok(inspector) => problem |= print_space(&mut out, &space.name, inspector)?,
            Err(error) => {
                problem = true;
                writeln!(out, "space {}: {error}", space.name)?;
            }
        }
    }
    out.flush()?;
    Ok(Verdict::problem_if(problem))
}

/// Prints one space; tells whether its registry is broken.
fn print_space(out: &mut impl Write, name: &str, inspector: &Inspector) -> Result<bool> {
    let who = match inspector.participants() {
        Ok(living) if living.len() == 1 => "1 participant".to_owned(),
        Ok(living) => format!("{} participants", living.len()),
        Err(error) => format!("participants unknown: {error}"),
    };
    let directory = inspector.directory().display().to_string();
    let place = if directory == name { String::new() } else { format!(" in {directory}") };
    writeln!(out, "space {name}{place}: {who}")?;
    let entries = inspector.list()?;
    if entries.is_empty() {
        writeln!(out, "  (no objects)")?;
    } else {
        let mut table = output::table(["NAME", "KIND", "TYPE", "SIZE", "LIFE", "ATTACHED", "STATE"]);
        for entry in &entries {
            table.add_row(row(inspector, entry));
        }
        writeln!(out, "{}", table.trim_fmt())?;
    }
    for entry in &entries {
        if let Err(error) = &entry.content {
            writeln!(out, "{}: {error}", address::shown(&entry.name))?;
        }
    }
    Ok(inspector.registry_fault().is_some())
}

fn row(inspector: &Inspector, entry: &Entry) -> [String; 7] {
    let (kind, type_name, life) = match &entry.content {
        Ok(content) => {
            (content.kind.to_string(), type_of(content), format!("{:?}", content.lifetime).to_lowercase())
        }
        Err(_) => ("(unusable)".into(), "-".into(), "-".into()),
    };
    [
        address::shown(&entry.name),
        kind,
        type_name,
        ByteSize(entry.file_size).to_string(),
        life,
        users(entry),
        summary(&state(inspector, entry)),
    ]
}

fn type_of(content: &Content) -> String {
    if content.type_name.is_empty() { "-".into() } else { content.type_name.clone() }
}

fn users(entry: &Entry) -> String {
    let mut users: Vec<_> = entry.attached.iter().take(SHOWN_USERS).map(output::who).collect();
    if let Some(more) = entry.attached.len().checked_sub(SHOWN_USERS).filter(|&more| more > 0) {
        users.push(format!("{more} more"));
    }
    if entry.readers {
        users.push("readers".into());
    }
    if users.is_empty() { "-".into() } else { users.join(", ") }
}

/// Who holds it and whether somebody waits, and every other fact that is short.
fn summary(facts: &Facts<Who>) -> String {
    let mut parts = Vec::new();
    for (label, fact) in facts {
        match (*label, fact) {
            ("watcher", _) => {}
            ("holder", Fact::Who(who)) => parts.push(format!("held by {}", output::who(who))),
            ("waiters", Fact::Flag(true)) => parts.push("somebody waits".into()),
            ("inconsistent", Fact::Text(cause)) => parts.push(format!("inconsistent: an owner {cause}")),
            (label, Fact::Flag(true)) => parts.push(label.replace('_', " ")),
            (label, fact) => {
                parts.extend(output::brief(fact).map(|text| format!("{} {text}", label.replace('_', " "))));
            }
        }
    }
    parts.join(", ")
}
