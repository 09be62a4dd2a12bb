//! The command as its user meets it.

#![cfg(target_os = "linux")]

use std::process::{Command, Output};

fn compare(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_procshare-compare")).args(args).output().unwrap()
}

#[test]
fn json_has_a_figure_for_each_contender_that_ran() {
    let output = compare(&["--quick", "--rounds", "1", "--rows", "rlock,value-get-8", "--json"]);
    assert!(output.status.success(), "{output:?}");
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let rows = report["rows"].as_array().unwrap();
    assert_eq!(
        rows.iter().map(|row| row["id"].as_str().unwrap()).collect::<Vec<_>>(),
        ["rlock", "value-get-8"]
    );
    let contenders = rows[0]["contenders"].as_array().unwrap();
    let peer = contenders.iter().find(|contender| contender["name"] == "parking_lot").unwrap();
    assert!(peer["summary"]["median"].as_f64().unwrap() > 0.0);
    assert!(peer["summary"]["min"].as_f64() <= peer["summary"]["median"].as_f64());
    assert!(rows[0]["goals"][0]["at_most"].as_f64().unwrap() > 1.0);
}

#[test]
fn servers_answer_right_and_a_rival_that_is_not_there_is_skipped() {
    let output = compare(&["--quick", "--rounds", "1", "--rows", "manager", "--json"]);
    assert!(output.status.success(), "{output:?}");
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let rows = report["rows"].as_array().unwrap();
    assert_eq!(rows.len(), 5);
    let found = |name: &str| {
        let is_program = |directory: std::path::PathBuf| directory.join(name).is_file();
        std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()).any(is_program)
    };
    for row in rows {
        for contender in row["contenders"].as_array().unwrap() {
            // What answers wrong, or not at all, makes the command fail. A single batch may be too short to count.
            let absent = contender["failure"].get("Unavailable").is_some();
            assert!(absent || contender["failure"].is_null(), "{}: {contender}", row["id"]);
            assert!(absent || contender["ops"].as_u64().unwrap() > 0, "{}: {contender}", row["id"]);
            let (name, id) = (contender["name"].as_str().unwrap(), row["id"].as_str().unwrap());
            // One core does for these.
            if id.ends_with("same") && name != "Python" {
                assert_eq!(absent, name == "Redis" && !found("redis-server"), "{id}: {contender}");
            }
        }
    }
}

#[test]
fn the_picture_names_every_measured_contender() {
    let file = std::env::temp_dir().join(format!("procshare-compare-{}.svg", std::process::id()));
    let plot = file.to_str().unwrap();
    let output = compare(&["--quick", "--rounds", "1", "--rows", "wakeup-same", "--plot", plot]);
    assert!(output.status.success(), "{output:?}");
    let table = String::from_utf8(output.stdout).unwrap();
    let picture = std::fs::read_to_string(&file).unwrap();
    std::fs::remove_file(&file).unwrap();
    for name in ["futex", "pipe"] {
        assert!(table.contains(name) && picture.contains(name), "{name}:\n{table}\n{picture}");
    }
    assert!(picture.starts_with("<svg") && picture.trim_end().ends_with("</svg>"));
}

#[test]
fn an_unknown_row_is_an_error_that_names_the_known_ones() {
    let output = compare(&["--rows", "lokc"]);
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("`lokc`") && said.contains("lock-alone"), "{said}");
}

#[test]
fn the_list_shows_every_goal_without_measuring() {
    let output = compare(&["--list", "--rows", "lock"]);
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.contains("lock-crowd") && said.contains("0.450 \u{d7} pthread shared"), "{said}");
    assert!(!said.contains("rlock"), "{said}");
}
