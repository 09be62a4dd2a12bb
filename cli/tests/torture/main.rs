//! The torture runs, reports, and finds nothing.
#![cfg(target_os = "linux")]

use std::process::{Command, Output, Stdio};

use serde_json::Value;

fn torture(args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_procshare"));
    command.arg("torture").args(args).stdin(Stdio::null()).output().unwrap()
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

#[test]
fn every_object_survives_thirty_kills() {
    let output = torture(&["--json", "--kills", "30", "--seed", "7"]);
    assert!(output.status.success(), "{output:?}");
    assert!(output.stderr.is_empty(), "{output:?}");
    let found = json(&output);
    assert_eq!((&found["seed"], &found["fine"]), (&7.into(), &true.into()));
    let objects = found["objects"].as_array().unwrap();
    assert!(objects.len() >= 21);
    for object in objects {
        let number = |field: &str| object[field].as_u64().unwrap_or_else(|| panic!("{field}: {object}"));
        assert_eq!((number("kills"), number("hangs"), number("violations")), (30, 0, 0), "{object}");
        assert!(number("rounds") >= 3 && number("turns") > 0, "{object}");
        let timed = number("timed_recoveries");
        if ["AtomicValue", "Latch"].iter().any(|name| object["object"] == *name) {
            assert_eq!((timed, &object["median_recovery_ms"]), (0, &Value::Null), "nobody waits for it");
            continue;
        }
        assert!(timed >= 2 && number("recoveries") >= timed, "{object}");
        let ms = |field: &str| object[field].as_f64().unwrap_or_else(|| panic!("{field}: {object}"));
        assert!(0.0 < ms("median_recovery_ms"), "{object}");
        assert!(ms("median_recovery_ms") <= ms("worst_recovery_ms"), "{object}");
    }
}

#[test]
fn named_objects_are_tortured_and_a_table_is_printed() {
    let output = torture(&["--object", "queue,Lock", "--kills", "5", "--seed", "11", "--contenders", "3"]);
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    let first: Vec<_> = text.lines().map(|line| line.split_whitespace().next().unwrap_or("")).collect();
    assert_eq!(first[..4], ["object", "Lock", "Queue", ""], "{text}");
    assert!(text.contains("10 kills (seed 11): every promise was kept"), "{text}");
}

#[test]
fn the_sleep_of_waiters_is_measured_on_demand() {
    let output = torture(&["--json", "--object", "Lock,AtomicValue", "--kills", "1", "--idle"]);
    assert!(output.status.success(), "{output:?}");
    let found = json(&output);
    let percent = found["objects"][0]["idle_percent"].as_f64().unwrap();
    assert!((0.0..100.0).contains(&percent), "{percent}");
    assert_eq!(found["objects"][1]["idle_percent"], Value::Null);
}

#[test]
fn an_unknown_object_is_answered_with_those_there_are() {
    let output = torture(&["--object", "Lock,Cheese"]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert!(output.stdout.is_empty());
    let text = String::from_utf8(output.stderr).unwrap();
    for name in ["'Cheese'", "Lock, PosixLock, LockArray", "AtomicValue", "Queue", "or all"] {
        assert!(text.contains(name), "{name}: {text}");
    }
}
