//! The demo counts right, whoever is killed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

/// A directory of files, removed at the end.
struct Tree(PathBuf);

impl Tree {
    fn new(test: &str) -> Self {
        let path = std::env::temp_dir().join(format!("procshare-demo-{test}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        Tree(path)
    }

    fn write(&self, name: &str, contents: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, contents).unwrap();
        path
    }

    /// Text files of many lengths in nested directories, and what a tally leaves out; returns the texts.
    fn fill(&self, files: usize) -> Vec<Vec<u8>> {
        let letters = "na\u{ef}ve-1234567".repeat(5).into_bytes();
        let separators = [&b" "[..], b"\n", b"\t "];
        let text = |file: usize| -> Vec<u8> {
            let words =
                (0..file * 37 % 900).map(|n| [&letters[..n * 7 % 41 + 1], separators[n % 3]].concat());
            words.collect::<Vec<_>>().concat()
        };
        let texts: Vec<Vec<u8>> = (0..files).map(text).collect();
        for (file, text) in texts.iter().enumerate() {
            self.write(&format!("d{}/e{}/f{file}.txt", file % 7, file % 3), text);
        }
        self.write("binary", b"text\0and more");
        self.write(".hidden/file", "hidden");
        self.write(".gitignore", "ignored\n");
        self.write("ignored/file", "ignored");
        texts
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// What anybody would count.
fn count<'a>(texts: impl IntoIterator<Item = &'a Vec<u8>>) -> Value {
    let (mut files, mut bytes, mut lines, mut words) = (0, 0, 0, 0);
    let (mut histogram, mut lengths) = (vec![0u64; 256], vec![0u64; 32]);
    for text in texts {
        files += 1;
        bytes += text.len();
        lines += text.iter().filter(|&&byte| byte == b'\n').count();
        text.iter().for_each(|&byte| histogram[usize::from(byte)] += 1);
        for word in text.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty()) {
            words += 1;
            lengths[word.len().min(32) - 1] += 1;
        }
    }
    serde_json::json!({
        "files": files, "bytes": bytes, "lines": lines, "words": words,
        "byte_histogram": histogram, "word_lengths": lengths,
    })
}

fn demo(args: &[&str], paths: &[&Path]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_procshare"));
    command.arg("demo").args(args).args(paths).stdin(Stdio::null()).output().unwrap()
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

#[track_caller]
fn assert_counts(found: &Value, expected: &Value) {
    for (field, value) in expected.as_object().unwrap() {
        assert_eq!(&found[field], value, "{field}");
    }
    assert_eq!(found["agree"], true);
}

#[test]
fn the_counts_are_those_of_an_independent_count() {
    let tree = Tree::new("counts");
    let expected = count(&tree.fill(150));
    for workers in ["1", "2", "7"] {
        let output = demo(&["--json", "--workers", workers], &[&tree.0]);
        assert!(output.status.success(), "{output:?}");
        let found = json(&output);
        assert_counts(&found, &expected);
        assert_eq!(found["workers"].to_string(), workers);
        assert_eq!((&found["killed"], &found["skipped"]), (&0.into(), &0.into()));
        for path in ["single", "shared", "queue", "proxy"] {
            assert!(found["paths"][path]["seconds"].as_f64().unwrap() > 0.0);
        }
        for path in ["shared", "queue", "proxy"] {
            let path = &found["paths"][path];
            assert!(path["working_seconds"].as_f64() < path["seconds"].as_f64(), "{path}");
            assert_eq!((&path["agree"], &path["killed"]), (&true.into(), &0.into()));
        }
        assert!(found["paths"]["queue"]["chunks"].as_u64().unwrap() >= 150);
    }
}

#[test]
fn killed_workers_cost_no_file_and_none_is_counted_twice() {
    let tree = Tree::new("kill");
    let expected = count(&tree.fill(120));
    for seed in 0..20 {
        let seed = seed.to_string();
        let output = demo(&["--json", "--kill", "--seed", &seed, "--workers", "4"], &[&tree.0]);
        assert!(output.status.success(), "seed {seed}: {output:?}");
        let found = json(&output);
        assert_counts(&found, &expected);
        assert_eq!(found["seed"].to_string(), seed);
        assert!(found["killed"].as_u64().unwrap() >= 1, "seed {seed}");
        for path in ["shared", "queue", "proxy"] {
            let path = &found["paths"][path];
            assert!(path["agree"] == true && path["killed"].as_u64().unwrap() >= 1, "seed {seed}: {path}");
        }
        assert!(
            found["respawned"].as_u64().unwrap() >= 1,
            "the last file waits for a kill: somebody replaces the dead"
        );
    }
}

#[test]
fn one_file_and_its_only_worker_killed() {
    let tree = Tree::new("one");
    let file = tree.write("one", "a few words\n");
    let found = json(&demo(&["--json", "--kill", "--workers", "9"], &[&file]));
    assert_counts(&found, &count(&[b"a few words\n".to_vec()]));
    assert_eq!(found["workers"], 1, "never more workers than files");
    assert!(found["killed"].as_u64().unwrap() >= 1);
}

#[test]
fn named_files_count_whatever_they_hold_and_only_once() {
    let tree = Tree::new("named");
    let text = b"binary\0\xff\xfe bytes".to_vec();
    let file = tree.write("binary", &text);
    assert_counts(&json(&demo(&["--json"], &[&file, &file])), &count(&[text]));
}

#[test]
fn files_that_cannot_be_read_are_skipped_by_both_counts() {
    let tree = Tree::new("skipped");
    let file = tree.write("file", "words");
    // Its first page is nobody's: reading it fails for whoever tries.
    let output = demo(&["--json"], &[&file, Path::new("/proc/self/mem")]);
    assert!(output.status.success(), "{output:?}");
    let found = json(&output);
    assert_counts(&found, &count(&[b"words".to_vec()]));
    assert_eq!(found["skipped"], 1);
    assert_eq!(found["skipped_files"][0]["path"], "/proc/self/mem");
    let output = demo(&[], &[&file, Path::new("/proc/self/mem")]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("skipped /proc/self/mem: "), "{output:?}");
}

#[test]
fn what_cannot_be_done_is_a_clear_error() {
    let tree = Tree::new("errors");
    let fails = |args: &[&str], paths: &[&Path], code, text: &str| {
        let output = demo(args, paths);
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{output:?}");
        assert!(told.contains(text) && !told.contains("panicked"), "{told}");
    };
    fails(&[], &[&tree.0], 1, "no text files in");
    fails(&[], &[Path::new("/nonexistent/file")], 1, "/nonexistent/file");
    fails(&[], &[Path::new("/dev/zero")], 1, "neither a file nor a directory");
    fails(&[], &[Path::new("/proc/self/mem")], 1, "none of the 1 files can be read");
    fails(&["--workers", "0"], &[&tree.0], 2, "1..=64");
    fails(&["--workers", "65"], &[&tree.0], 2, "1..=64");
    fails(&["--seed", "1"], &[&tree.0], 2, "--kill");
}

#[test]
fn text_output_tells_the_same_and_nothing_is_left_behind() {
    let tree = Tree::new("text");
    let expected = count(&tree.fill(20));
    let child = Command::new(env!("CARGO_BIN_EXE_procshare"))
        .args(["demo", "--kill", "--seed", "3"])
        .arg(&tree.0)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let pid = child.id();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("all counts agree") && text.contains("(seed 3)"), "{text}");
    assert!(text.contains(&expected["words"].to_string()), "{text}");
    // The last table compares the paths; the first of them is what the others are measured by.
    let rows = ["in shared memory", "through a queue", "by proxies of a manager", "one process"];
    let places = rows.map(|row| text.rfind(row).unwrap_or_else(|| panic!("no row '{row}': {text}")));
    assert!(places.is_sorted() && text[places[0]..].contains("1.00 x"), "{text}");
    assert!(output.stderr.is_empty(), "no progress bar without a terminal");
    assert_eq!(objects_of(pid), Vec::<String>::new());
}

/// The objects of the demo with that process id that are still there.
fn objects_of(demo: u32) -> Vec<String> {
    let files = fs::read_dir(procshare::Space::root().join("default")).unwrap();
    let names = files.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.starts_with(&format!("demo-{demo}-"))).collect()
}

/// Children of a process and whether each still runs, as the system lists them.
fn children(parent: u32) -> Vec<u32> {
    let processes =
        fs::read_dir("/proc").unwrap().filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok());
    processes.filter(|&pid: &u32| stat(pid).is_some_and(|(_, of)| of == parent)).collect()
}

/// State and parent of a process.
fn stat(pid: u32) -> Option<(String, u32)> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace();
    Some((fields.next()?.to_owned(), fields.next()?.parse().ok()?))
}

/// Waits until something is so; a watchdog, not a measurement.
fn until(what: &str, mut so: impl FnMut() -> bool) {
    let started = Instant::now();
    while !so() {
        assert!(started.elapsed() < Duration::from_secs(60), "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn workers_end_with_their_killed_parent_and_their_objects_go() {
    let tree = Tree::new("orphans");
    // Holes that take no room, but hours to count.
    for name in ["a", "b"] {
        fs::File::create(tree.0.join(name)).unwrap().set_len(1 << 40).unwrap();
    }
    let mut parent = Command::new(env!("CARGO_BIN_EXE_procshare"))
        .args(["demo", "--workers", "2"])
        .args([tree.0.join("a"), tree.0.join("b")])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut workers = Vec::new();
    until("two workers", || {
        workers = children(parent.id());
        workers.len() == 2
    });
    parent.kill().unwrap();
    parent.wait().unwrap();
    let ended = |pid: &u32| stat(*pid).is_none_or(|(state, _)| state == "Z" || state == "X");
    until("the end of the workers", || workers.iter().all(ended));
    let collected = Command::new(env!("CARGO_BIN_EXE_procshare")).args(["gc", "--space", "default"]).output();
    assert!(collected.unwrap().status.success());
    assert_eq!(objects_of(parent.id()), Vec::<String>::new());
}
