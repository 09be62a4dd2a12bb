//! `ls` and `show` against live objects.

use procshare::{AtomicValue, Lock, Value};

use crate::{Place, procshare};

#[test]
fn ls_shows_objects_users_and_holders() {
    let place = Place::new("ls");
    let lock = place.lock("jobs");
    let _counter = AtomicValue::builder().space(&place.space).create("counter", 42u64).unwrap();
    let guard = lock.lock().unwrap();
    let pid = std::process::id();

    let json = place.run(&["ls", "--json"]).exits(0).json();
    let space = &json["spaces"][0];
    assert_eq!(space["participants"][0]["pid"], pid);
    let objects = space["objects"].as_array().unwrap();
    assert_eq!(objects.len(), 2);
    assert_eq!((&objects[0]["name"], &objects[0]["kind"]), (&"counter".into(), &"AtomicValue".into()));
    assert_eq!((&objects[0]["type_name"], &objects[0]["type_size"]), (&"u64".into(), &8.into()));
    assert_eq!(objects[0]["state"]["value"], 42);
    let jobs = &objects[1];
    assert_eq!(jobs["file_size"], std::fs::metadata(place.path().join("jobs")).unwrap().len());
    assert_eq!((&jobs["attached"][0]["pid"], &jobs["attached"][0]["life"]), (&pid.into(), &"alive".into()));
    assert_eq!(jobs["state"]["holder"]["pid"], pid);
    assert_eq!(jobs["lifetime"], "named");

    let text = place.run(&["ls"]).exits(0).out;
    let line = text.lines().find(|line| line.starts_with("jobs ")).unwrap();
    assert!(line.contains("Lock") && line.contains(&format!("held by {pid} command-")), "{line}");
    let line = text.lines().find(|line| line.starts_with("counter ")).unwrap();
    assert!(line.contains("u64") && line.contains("value 42"), "{line}");

    drop(guard);
    assert!(!place.run(&["ls"]).exits(0).out.contains("held by"));
}

#[test]
fn ls_without_a_space_finds_the_users_spaces() {
    let name = format!("cli-ls-{}", std::process::id());
    let space = procshare::Space::named(&name).unwrap().open_or_create().unwrap();
    let _lock = Lock::builder().space(&space).create("l").unwrap();
    let all = procshare(&["ls", "--json"]).json();
    let found = all["spaces"].as_array().unwrap().iter().find(|space| space["name"] == name.as_str());
    assert_eq!(found.unwrap()["objects"][0]["name"], "l");
    let one = procshare(&["ls", &name, "--json"]).exits(0).json();
    assert_eq!(one["spaces"].as_array().unwrap().len(), 1);
    assert_eq!(procshare(&["show", &format!("{name}/l"), "--json"]).exits(0).json()["kind"], "Lock");
    std::fs::remove_dir_all(space.directory()).unwrap();
}

#[test]
fn damaged_files_are_listed_with_the_reason() {
    let place = Place::new("damaged");
    std::fs::write(place.path().join("junk"), b"junk").unwrap();
    let json = place.run(&["ls", "--json"]).exits(0).json();
    let junk = &json["spaces"][0]["objects"][0];
    assert!(junk["error"].as_str().unwrap().contains("4 bytes"), "{junk}");
    let text = place.run(&["ls"]).exits(0).out;
    assert!(text.contains("(unusable)") && text.contains("not a usable segment"), "{text}");
    let shown = place.run(&["show", "junk"]).exits(1);
    assert!(shown.out.contains("problem:"), "{shown:?}");
    assert!(place.run(&["show", "junk", "--json"]).exits(1).json()["error"].is_string());
}

#[test]
fn a_space_that_is_not_there_is_an_error_that_names_it() {
    for args in [
        &["ls", "/nonexistent/space"][..],
        &["ls", "never-made", "--json"],
        &["gc", "--space", "/nonexistent/x"],
    ] {
        let ran = procshare(args).exits(1);
        let told = format!("{}{}", ran.out, ran.err);
        assert!(told.contains("/nonexistent/") || told.contains("never-made"), "{told}");
    }
}

#[test]
fn show_tells_everything_of_one_object() {
    let place = Place::new("show");
    let value = Value::builder().space(&place.space).create("v", 2.5f64).unwrap();
    let guard = value.lock_in_place().unwrap();
    let text = place.run(&["show", "v"]).exits(0).out;
    let pid = std::process::id();
    for part in
        ["kind:          Value", "f64 (8 B, fingerprint ", "edited in place: yes", "UTC", "named: until"]
    {
        assert!(text.contains(part), "{part:?} in {text}");
    }
    assert!(text.contains(&format!("holder:        {pid} ")), "{text}");
    drop(guard);
    let json = place.run(&["show", "v", "--json"]).exits(0).json();
    assert_eq!(json["state"]["value"], 2.5);
    assert_eq!(json["state"]["holder"], serde_json::Value::Null);
    assert_eq!(json["creator"]["pid"], pid);
    place.run(&["show", "w"]).exits(1);
}

#[test]
fn anonymous_objects_are_called_by_their_digits() {
    let place = Place::new("anonymous");
    let lock = Lock::builder().space(&place.space).anonymous().unwrap();
    let json = place.run(&["ls", "--json"]).exits(0).json();
    let name = json["spaces"][0]["objects"][0]["name"].as_str().unwrap().to_owned();
    let short = format!("@{}", &name[".anon-".len()..][..8]);
    assert!(place.run(&["ls"]).exits(0).out.contains(&short));
    assert_eq!(place.run(&["show", &short, "--json"]).exits(0).json()["name"], name.as_str());
    assert_eq!(place.run(&["show", &name, "--json"]).exits(0).json()["lifetime"], "scoped");
    let other = if short.ends_with('0') { "@1" } else { "@zz" };
    assert!(place.run(&["show", other]).exits(1).err.contains("no anonymous object"));
    drop(lock);
}
