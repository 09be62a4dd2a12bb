//! `procshare tail`

use std::io::Write;
use std::time::{Duration, Instant};

use anyhow::Result;
use procshare::inspect::{Glimpse, Glimpsed};
use serde_json::{Value, json};

use crate::address::Address;
use crate::args::Tail;
use crate::output::{self, Verdict};

/// How many items one look brings at most.
const BATCH: usize = 256;
/// So many bytes of an item are shown.
const SHOWN: usize = 32;
/// How often the rate is told.
const RATE: Duration = Duration::from_secs(1);

/// Prints the items of a queue, a pipe or a broadcast as they come, and takes none.
pub(crate) fn run(args: &Tail) -> Result<Verdict> {
    let address = Address::parse(&args.name, &args.place)?;
    let inspector = address.place.inspect()?;
    let mut items = inspector.items(&address.find(&inspector)?, args.all)?;
    let type_name = items.type_name().to_owned();
    let started = Instant::now();
    let mut printer =
        Printer { type_name, json: args.json, left: args.count, seen: 0, missed: 0, told: started };
    loop {
        let glimpse = items.look(BATCH)?;
        if printer.print(&glimpse)?
            || args.seconds.is_some_and(|most| started.elapsed().as_secs_f64() >= most)
        {
            return Ok(Verdict::Fine);
        }
        if glimpse.items.len() < BATCH {
            std::thread::sleep(Duration::from_millis(args.every));
        }
    }
}

struct Printer {
    type_name: String,
    json: bool,
    /// Items still to be printed, if not all.
    left: Option<u64>,
    /// Since the rate was told last: items that came, seen or not.
    seen: u64,
    missed: u64,
    told: Instant,
}

impl Printer {
    /// Prints what a look brought; tells whether it was the last.
    fn print(&mut self, glimpse: &Glimpse) -> Result<bool> {
        let mut out = output::stdout();
        if glimpse.missed > 0 {
            self.line(
                &mut out,
                &json!({ "missed": glimpse.missed }),
                &format!("... {} missed", glimpse.missed),
            )?;
        }
        (self.seen, self.missed) =
            (self.seen + glimpse.items.len() as u64 + glimpse.missed, self.missed + glimpse.missed);
        for item in &glimpse.items {
            if self.left == Some(0) {
                break;
            }
            self.left = self.left.map(|left| left - 1);
            self.item(&mut out, item)?;
        }
        let closed = glimpse.closed && glimpse.items.is_empty();
        if self.told.elapsed() >= RATE {
            self.rate(&mut out, glimpse)?;
        }
        if closed {
            self.line(&mut out, &json!({ "closed": true }), "closed")?;
        }
        out.flush()?;
        Ok(closed || self.left == Some(0))
    }

    fn item(&self, out: &mut impl Write, item: &Glimpsed) -> Result<()> {
        let value = preview(&self.type_name, &item.bytes);
        let mut json =
            json!({ "position": item.position, "bytes": item.len, "hex": hex(&item.bytes), "value": value });
        let from = item.from.map_or(String::new(), |end| format!("{end:<5}  "));
        if let (Some(end), Some(fields)) = (item.from, json.as_object_mut()) {
            fields.insert("from".into(), end.into());
        }
        let text = match &value {
            Value::Null => hex(&item.bytes[..item.bytes.len().min(SHOWN)]),
            value => value.to_string(),
        };
        let more = match item.len {
            len if value.is_null() && len > SHOWN || len > item.bytes.len() => format!(" ... ({len} bytes)"),
            _ => String::new(),
        };
        self.line(out, &json, &format!("{:>8}  {from}{text}{more}", item.position))
    }

    fn rate(&mut self, out: &mut impl Write, glimpse: &Glimpse) -> Result<()> {
        let rate = self.seen as f64 / self.told.elapsed().as_secs_f64();
        let json = json!({ "rate": rate, "length": glimpse.length, "missed_since": self.missed });
        let text = format!("--- {rate:.0} a second, {} waiting, {} missed", glimpse.length, self.missed);
        self.line(out, &json, &text)?;
        (self.seen, self.missed, self.told) = (0, 0, Instant::now());
        Ok(())
    }

    fn line(&self, out: &mut impl Write, json: &Value, text: &str) -> Result<()> {
        let written = if self.json { writeln!(out, "{json}") } else { writeln!(out, "{text}") };
        Ok(written?)
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The item as a value, for types that are known by their name.
fn preview(type_name: &str, bytes: &[u8]) -> Value {
    macro_rules! number {
        ($type:ty) => {
            <[u8; size_of::<$type>()]>::try_from(bytes)
                .map_or(Value::Null, |bytes| json!(<$type>::from_ne_bytes(bytes)))
        };
    }
    match type_name {
        "u8" => number!(u8),
        "u16" => number!(u16),
        "u32" => number!(u32),
        "u64" => number!(u64),
        "usize" => number!(usize),
        "i8" => number!(i8),
        "i16" => number!(i16),
        "i32" => number!(i32),
        "i64" => number!(i64),
        "isize" => number!(isize),
        "f32" => number!(f32),
        "f64" => number!(f64),
        "bool" => json!(bytes.first() == Some(&1)),
        // Bytes that are text up to their padding.
        _ => match std::str::from_utf8(bytes).map(|text| text.trim_end_matches('\0')) {
            Ok(text) if !text.is_empty() && !text.chars().any(char::is_control) => json!(text),
            _ => Value::Null,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_are_shown_as_what_they_are() {
        assert_eq!(preview("u64", &7u64.to_ne_bytes()), json!(7));
        assert_eq!(preview("i16", &(-2i16).to_ne_bytes()), json!(-2));
        assert_eq!(preview("f64", &0.5f64.to_ne_bytes()), json!(0.5));
        assert_eq!(preview("bool", &[1]), json!(true));
        assert_eq!(preview("Line", b"hello\0\0\0"), json!("hello"));
        assert_eq!(preview("Pair", &[1, 2, 0]), Value::Null);
        assert_eq!(preview("u64", &[1, 2]), Value::Null, "another layout than its name says");
        assert_eq!(hex(&[0, 0xab]), "00ab");
    }
}
