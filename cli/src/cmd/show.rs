//! `procshare show`

use std::io::Write;

use anyhow::Result;
use procshare::Lifetime;
use procshare::inspect::{ByteSize, Entry, Fact, Facts, Inspector, Who};
use serde_json::Value;

use super::ls::state_map;
use crate::address::Address;
use crate::args::Show;
use crate::output::{self, Verdict};

/// Shows all there is to know of one object.
pub(crate) fn run(args: &Show) -> Result<Verdict> {
    #[cfg(unix)]
    if let Some(address) = &args.manager {
        return super::manager::show(address, &args.connect, &args.name, args.json);
    }
    let address = Address::parse(&args.name, &args.place)?;
    let inspector = address.place.inspect()?;
    let entry = inspector.entry(&address.find(&inspector)?)?;
    let (facts, fault) = match &entry.content {
        Err(_) => (Facts::new(), None),
        Ok(_) => match inspector.detail(&entry.name) {
            Ok(facts) => (facts, None),
            Err(error) => (Facts::new(), Some(error.to_string())),
        },
    };
    let verdict = Verdict::problem_if(entry.content.is_err() || fault.is_some());
    if args.json {
        let mut object = serde_json::to_value(&entry)?;
        object["space"] = inspector.name().into();
        object["directory"] = serde_json::to_value(inspector.directory())?;
        object["state"] = Value::Object(state_map(facts)?);
        if let Some(fault) = fault {
            object["error"] = fault.into();
        }
        output::json(&object)?;
    } else {
        let mut out = output::stdout();
        print(&mut out, &inspector, &entry)?;
        print_facts(&mut out, &facts, 0)?;
        if let Some(fault) = fault {
            line(&mut out, 0, "problem", &fault)?;
        }
        out.flush()?;
    }
    Ok(verdict)
}

pub(super) fn line(out: &mut impl Write, indent: usize, label: &str, text: &str) -> Result<()> {
    Ok(writeln!(out, "{:indent$}{:<14} {text}", "", format!("{}:", label.replace('_', " ")))?)
}

fn print(out: &mut impl Write, inspector: &Inspector, entry: &Entry) -> Result<()> {
    line(out, 0, "name", &entry.name)?;
    line(out, 0, "space", inspector.name())?;
    line(out, 0, "file", &inspector.directory().join(&entry.name).display().to_string())?;
    line(out, 0, "file size", &ByteSize(entry.file_size).to_string())?;
    match &entry.content {
        Err(error) => line(out, 0, "problem", &error.to_string())?,
        Ok(content) => {
            line(out, 0, "kind", content.kind.name())?;
            if !content.type_name.is_empty() {
                let size = ByteSize(content.type_size);
                line(
                    out,
                    0,
                    "type",
                    &format!("{} ({size}, fingerprint {})", content.type_name, content.fingerprint),
                )?;
            }
            let lifetime = match content.lifetime {
                Lifetime::Scoped => "scoped: until its last user leaves",
                _ => "named: until it is removed",
            };
            line(out, 0, "lifetime", lifetime)?;
            line(out, 0, "created", &output::utc(content.created_ns))?;
            let creator = match &content.creator {
                Some(creator) if creator.pid.is_some() => output::who(creator),
                _ => format!("{} (gone)", content.creator_pid),
            };
            line(out, 0, "creator", &creator)?;
            line(out, 0, "birth", &content.birth)?;
        }
    }
    match (entry.attached.as_slice(), entry.readers) {
        ([], false) => line(out, 0, "attached", "nobody")?,
        (users, readers) => {
            for user in users {
                line(out, 0, "attached", &attached(user))?;
            }
            if readers {
                line(out, 0, "attached", "readers who are no participants")?;
            }
        }
    }
    Ok(())
}

fn attached(user: &Who) -> String {
    let mut text = format!("{} (alive, id {}", output::who(user), user.id);
    if let Some(uid) = user.uid {
        text.push_str(&format!(", uid {uid}"));
    }
    if let Some(started) = user.started_ns {
        text.push_str(&format!(", since {}", output::utc(started)));
    }
    text.push(')');
    text
}

fn print_facts(out: &mut impl Write, facts: &Facts<Who>, indent: usize) -> Result<()> {
    for (label, fact) in facts {
        match fact {
            Fact::List(list) => print_list(out, label, list, indent)?,
            Fact::Part(facts) => {
                line(out, indent, label, "")?;
                print_facts(out, facts, indent + 2)?;
            }
            Fact::Nothing => line(out, indent, label, "-")?,
            Fact::Flag(false) => line(out, indent, label, "no")?,
            fact => line(out, indent, label, &output::brief(fact).unwrap_or_default())?,
        }
    }
    Ok(())
}

/// Short elements on one line, parts each on lines of their own.
fn print_list(out: &mut impl Write, label: &str, list: &[Fact<Who>], indent: usize) -> Result<()> {
    if let Some(short) = list.iter().map(output::brief).collect::<Option<Vec<_>>>() {
        let text = if short.is_empty() { "-".to_owned() } else { short.join(", ") };
        return line(out, indent, label, &text);
    }
    for (index, fact) in list.iter().enumerate() {
        let label = format!("{label} [{index}]");
        match fact {
            Fact::Part(facts) => {
                line(out, indent, &label, "")?;
                print_facts(out, facts, indent + 2)?;
            }
            fact => line(out, indent, &label, &output::brief(fact).unwrap_or_else(|| "-".into()))?,
        }
    }
    Ok(())
}
