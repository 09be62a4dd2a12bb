//! What `ls` and `show` tell of a manager.

use std::io::Write;

use anyhow::Result;
use procshare::manager::{Address, Any, Key, Manager, ObjectDetail};
use serde_json::{Map, Value, json};

use super::show::line;
use crate::args::{ConnectArgs, KeyArgs};
use crate::output::{self, Verdict};

/// How many elements are shown.
const SHOWN: u64 = 10;
/// How many characters of an element.
const SHOWN_CHARS: usize = 120;

/// The key that the command line names.
pub(super) fn key(args: &KeyArgs) -> Result<Option<Key>> {
    Ok(match (&args.key_file, &args.key_env) {
        (Some(path), _) => Some(Key::from_file(path)?),
        (None, Some(name)) => Some(Key::from_env(name)?),
        (None, None) => None,
    })
}

fn connect(address: &Address, how: &ConnectArgs) -> Result<Manager> {
    let mut connector = Manager::builder().transport(how.transport);
    if let Some(key) = key(&how.key)? {
        connector = connector.key(key);
    }
    #[cfg(feature = "tls")]
    if let Some(path) = &how.ca {
        connector = connector.roots(procshare::manager::TlsRoots::from_file(path)?);
    }
    Ok(connector.connect(address)?)
}

/// Lists a manager's objects, and what it has in all.
pub(super) fn list(address: &Address, how: &ConnectArgs, as_json: bool) -> Result<Verdict> {
    let manager = connect(address, how)?;
    let (objects, stats) = (manager.objects()?, manager.stats()?);
    if as_json {
        let (place, transport) = (address.to_string(), manager.transport().to_string());
        let all = json!({ "manager": place, "transport": transport, "objects": objects, "stats": stats });
        output::json(&all)?;
        return Ok(Verdict::Fine);
    }
    let mut table = output::table(["NUMBER", "KIND", "NAME", "ELEMENTS", "REFERENCES"]);
    for object in &objects {
        table.add_row([
            object.number.to_string(),
            object.kind.clone(),
            object.name.as_deref().map_or("-".into(), harmless),
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
        "{} objects in {} bytes; {} clients, {} of them through rings, this one included ({}); {} calls wait",
        stats.objects,
        stats.bytes,
        stats.clients,
        stats.rings,
        manager.transport(),
        stats.waiting
    )?;
    out.flush()?;
    Ok(Verdict::Fine)
}

/// Shows one object of a manager: by its name, or as `@` and its number.
pub(super) fn show(address: &Address, how: &ConnectArgs, name: &str, as_json: bool) -> Result<Verdict> {
    let manager = connect(address, how)?;
    let number = name.strip_prefix('@').and_then(|number| number.parse().ok());
    let detail = match number {
        Some(number) => manager.describe_number(number, SHOWN)?,
        None => manager.describe(name, SHOWN)?,
    };
    if as_json {
        output::json(&detail_json(address, &detail))?;
        return Ok(Verdict::Fine);
    }
    let mut out = output::stdout();
    print(&mut out, &detail)?;
    out.flush()?;
    Ok(Verdict::Fine)
}

fn print(out: &mut impl Write, detail: &ObjectDetail) -> Result<()> {
    let who = |client: u64| {
        let known = detail.clients.iter().find(|known| known.client == client);
        match known.map_or("", |known| known.who.as_str()) {
            "" => format!("client {client} (its connection is gone)"),
            who => format!("{} (client {client})", harmless(who)),
        }
    };
    line(out, 0, "name", &detail.name.as_deref().map_or("-".into(), harmless))?;
    line(out, 0, "kind", &harmless(&detail.kind))?;
    line(out, 0, "number", &detail.number.to_string())?;
    line(out, 0, "references", &detail.references.to_string())?;
    for (label, fact) in &detail.state {
        let text = match fact {
            Any::Nil => "-".into(),
            Any::Bool(flag) => if *flag { "yes" } else { "no" }.into(),
            Any::Text(text) => harmless(text),
            other => plain(other).to_string(),
        };
        line(out, 0, label, &text)?;
    }
    for client in detail.clients.iter().filter(|client| client.references > 0) {
        line(out, 0, "used by", &format!("{}, {} references", who(client.client), client.references))?;
    }
    for holder in &detail.holders {
        let figures: Vec<_> =
            holder.figures.iter().map(|(label, figure)| format!("{label} {figure}")).collect();
        line(out, 0, "held by", &[vec![who(holder.client)], figures].concat().join(", "))?;
    }
    for &client in &detail.waiting {
        line(out, 0, "waits", &who(client))?;
    }
    for (at, element) in detail.first.iter().enumerate() {
        let text = match element {
            Any::List(pair) if is_map(&detail.kind) && pair.len() == 2 => {
                format!("{} => {}", short(&pair[0]), short(&pair[1]))
            }
            other => short(other),
        };
        line(out, 0, &format!("[{at}]"), &text)?;
    }
    if let Some(&Any::Int(all)) = detail.state.get("elements")
        && all > detail.first.len() as i64
    {
        line(out, 0, "...", &format!("{} more", all - detail.first.len() as i64))?;
    }
    Ok(())
}

fn is_map(kind: &str) -> bool {
    matches!(kind, "dict" | "namespace")
}

fn detail_json(address: &Address, detail: &ObjectDetail) -> Value {
    let who = |client: u64| {
        let known = detail.clients.iter().find(|known| known.client == client);
        known.map_or("", |known| known.who.as_str())
    };
    let holders = detail.holders.iter().map(
        |holder| json!({ "client": holder.client, "who": who(holder.client), "figures": holder.figures }),
    );
    let clients = detail
        .clients
        .iter()
        .map(|client| json!({ "client": client.client, "who": client.who, "references": client.references }));
    let waiting = detail.waiting.iter().map(|&client| json!({ "client": client, "who": who(client) }));
    let state: Map<String, Value> =
        detail.state.iter().map(|(label, fact)| (label.replace(' ', "_"), plain(fact))).collect();
    json!({
        "manager": address.to_string(),
        "name": detail.name,
        "kind": detail.kind,
        "number": detail.number,
        "references": detail.references,
        "state": state,
        "clients": clients.collect::<Vec<_>>(),
        "holders": holders.collect::<Vec<_>>(),
        "waiting": waiting.collect::<Vec<_>>(),
        "first": detail.first.iter().map(plain).collect::<Vec<_>>(),
    })
}

/// A value as JSON: maps whose keys are not all texts as lists of pairs, bytes as hex, objects by their number.
fn plain(value: &Any) -> Value {
    match value {
        Any::Nil => Value::Null,
        Any::Bool(value) => (*value).into(),
        Any::Int(value) => (*value).into(),
        Any::Uint(value) => (*value).into(),
        // JSON has no infinities.
        Any::Float(value) if value.is_finite() => (*value).into(),
        Any::Float(value) => value.to_string().into(),
        Any::Text(value) => value.as_str().into(),
        Any::Bytes(value) => json!({ "bytes": hex(value) }),
        Any::List(items) => items.iter().map(plain).collect(),
        Any::Map(pairs) => {
            let named = |(key, value): &(Any, Any)| match key {
                Any::Text(key) => Some((key.clone(), plain(value))),
                _ => None,
            };
            match pairs.iter().map(named).collect::<Option<Map<_, _>>>() {
                Some(map) => map.into(),
                None => pairs.iter().map(|(key, value)| json!([plain(key), plain(value)])).collect(),
            }
        }
        Any::Object(object) => json!({ "object": object.number() }),
        Any::Extension(kind, data) => json!({ "extension": kind, "bytes": hex(data) }),
        _ => "?".into(),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A value on a line.
fn short(value: &Any) -> String {
    let text = harmless_json(&plain(value).to_string());
    match text.char_indices().nth(SHOWN_CHARS) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text,
    }
}

/// What others wrote, so that nothing in it reaches the terminal as a command.
fn harmless(text: &str) -> String {
    text.escape_debug().to_string()
}

/// The same of JSON, which has its quotes and backslashes escaped already.
fn harmless_json(text: &str) -> String {
    let escaped = |c: char| if c.is_control() { c.escape_debug().to_string() } else { c.to_string() };
    text.chars().map(escaped).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_shown_as_json_that_harms_no_terminal() {
        let pairs = |key: Any| Any::Map(vec![(key, vec![Any::from(1), Any::Nil].into())]);
        assert_eq!(short(&pairs("a".into())), r#"{"a":[1,null]}"#);
        assert_eq!(short(&pairs(2.5.into())), "[[2.5,[1,null]]]");
        assert_eq!(short(&Any::Bytes(vec![0, 255])), r#"{"bytes":"00ff"}"#);
        assert_eq!(short(&Any::Float(f64::INFINITY)), r#""inf""#);
        let evil = short(&Any::from("\u{1b}[2J\u{9b}2J\u{7f}"));
        assert!(!evil.chars().any(char::is_control), "{evil:?}");
        assert_eq!(short(&Any::from("ä".repeat(500))).chars().count(), SHOWN_CHARS + 3);
    }
}
