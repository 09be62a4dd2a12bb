//! House rules that no compiler checks.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// The rooms of the library, from the top down; a room may name only rooms below it. Rooms in one row do not know each other.
const ROOMS: &[&[&str]] = &[
    &["inspect", "manager"],
    &["process"],
    &["queue"],
    &["data"],
    &["sync"],
    &["participant"],
    &["shm", "park", "net"],
    &["sys"],
];

/// Files in no room: they may be named by all, and name no room above them.
const BASE: &[&str] = &["atomic", "cause", "error", "layout", "time"];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Every Rust file below `directory`, with its text.
fn sources(directory: &str) -> Vec<(String, String)> {
    fn walk(directory: &Path, found: &mut Vec<(String, String)>) {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let name = path.strip_prefix(root()).unwrap().to_str().unwrap().replace('\\', "/");
                found.push((name, fs::read_to_string(&path).unwrap()));
            }
        }
    }
    let mut found = Vec::new();
    walk(&root().join(directory), &mut found);
    assert!(!found.is_empty());
    found
}

/// The lines that are code: no comments, no unit tests at the end of a file.
fn code(text: &str) -> impl Iterator<Item = &str> {
    let end =
        text.find("\n#[cfg(test)]\nmod tests").or(text.find("\n#[cfg(all(test, not(loom)))]\nmod tests"));
    text[..end.unwrap_or(text.len())].lines().filter(|line| !line.trim_start().starts_with("//"))
}

fn rank(room: &str) -> Option<usize> {
    ROOMS.iter().position(|row| row.contains(&room))
}

#[test]
fn rooms_import_only_rooms_below_them() {
    let mut broken = Vec::new();
    for (file, text) in sources("src") {
        let room = file.trim_start_matches("src/").split(['/', '.']).next().unwrap().to_owned();
        let Some(own) = rank(&room) else { continue };
        for line in code(&text).filter(|line| !line.contains("macro_rules")) {
            for named in line.split("crate::").skip(1) {
                let named: String = named.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
                let below = rank(&named).is_none_or(|other| named == room || other > own);
                if !below {
                    broken.push(format!("{file}: {}", line.trim()));
                }
            }
        }
    }
    assert!(broken.is_empty(), "rooms that import upwards:\n{}", broken.join("\n"));
}

#[test]
fn unsafe_code_lives_where_safety_md_says() {
    let page = fs::read_to_string(root().join("SAFETY.md")).unwrap();
    let allowed: Vec<&str> =
        page.lines().filter_map(|line| line.strip_prefix("- `")?.strip_suffix('`')).collect();
    assert!(allowed.len() > 3);
    let mut broken = Vec::new();
    for (file, text) in sources("src") {
        let uses = code(&text).any(|line| line.contains("unsafe ") || line.contains("unsafe{"));
        if uses
            && !allowed
                .iter()
                .any(|place| file == *place || (place.ends_with('/') && file.starts_with(place)))
        {
            broken.push(file);
        }
    }
    assert!(broken.is_empty(), "unsafe code outside the list in SAFETY.md: {broken:?}");
}

#[test]
fn every_safety_note_cites_an_invariant() {
    let page = fs::read_to_string(root().join("SAFETY.md")).unwrap();
    let known: BTreeSet<&str> =
        page.lines().filter_map(|line| line.strip_prefix("| **")?.split_once("**")?.0.into()).collect();
    assert!(known.len() >= 10, "{known:?}");
    let mut broken = Vec::new();
    for (file, text) in sources("src") {
        let end = text.find("\nmod tests {").unwrap_or(text.len());
        for (number, line) in text[..end].lines().enumerate() {
            let Some(note) = line.trim_start().strip_prefix(concat!("// SAFE", "TY:")) else { continue };
            let cited =
                note.trim_start().strip_prefix('(').and_then(|note| note.split([')', ',', ' ']).next());
            if !cited.is_some_and(|name| known.contains(name)) {
                broken.push(format!("{file}:{}: {}", number + 1, line.trim()));
            }
        }
    }
    assert!(broken.is_empty(), "notes without a known invariant:\n{}", broken.join("\n"));
}

#[test]
fn the_system_is_named_in_sys_alone() {
    let mut broken = Vec::new();
    for (file, text) in sources("src") {
        if file.starts_with("src/sys/") {
            continue;
        }
        for line in code(&text) {
            if ["libc::", "memmap2::", "target_os", "cfg(unix", "cfg(windows"]
                .iter()
                .any(|word| line.contains(word))
            {
                broken.push(format!("{file}: {}", line.trim()));
            }
        }
    }
    assert!(broken.is_empty(), "the operating system outside sys:\n{}", broken.join("\n"));
}

#[test]
fn files_and_functions_can_be_held_in_the_head() {
    let mut broken = Vec::new();
    for (file, text) in sources("src").into_iter().chain(sources("cli/src")) {
        let lines: Vec<&str> = code(&text).filter(|line| !line.trim().is_empty()).collect();
        if lines.len() > 420 {
            broken.push(format!("{file}: {} lines of code", lines.len()));
        }
        let mut start: Option<(usize, usize, &str)> = None;
        for (at, line) in lines.iter().enumerate() {
            let indent = line.len() - line.trim_start().len();
            let is_fn = line.contains("fn ") && line.ends_with('{');
            match start {
                None if is_fn => start = Some((at, indent, line)),
                Some((from, depth, head)) if indent == depth && line.trim() == "}" => {
                    if at - from > 60 {
                        broken.push(format!("{file}: {} lines: {}", at - from, head.trim()));
                    }
                    start = None;
                }
                _ => {}
            }
        }
    }
    assert!(broken.is_empty(), "too long:\n{}", broken.join("\n"));
}

#[test]
fn base_files_name_no_room_but_what_they_describe() {
    for name in BASE {
        let text = fs::read_to_string(root().join("src").join(format!("{name}.rs"))).unwrap();
        for line in code(&text) {
            assert!(
                !["crate::sync", "crate::data", "crate::participant", "crate::inspect"]
                    .iter()
                    .any(|room| line.contains(room)),
                "src/{name}.rs: {line}"
            );
        }
    }
}
