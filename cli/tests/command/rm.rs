//! `rm` and `gc` against live objects.

use procshare::{Lifetime, Lock};

use crate::{Place, procshare};

#[test]
fn rm_removes_what_nobody_uses_and_goes_on_after_a_failure() {
    let place = Place::new("rm");
    let used = place.lock("used");
    drop(place.lock("unused"));
    std::fs::write(place.path().join("damaged"), b"junk").unwrap();

    let ran = place.run(&["rm", "used", "missing", "unused", "damaged", "--json"]).exits(1);
    let json = ran.json();
    assert_eq!(json["removed"].as_array().unwrap().len(), 2);
    let failed = json["failed"].as_array().unwrap();
    assert_eq!((&failed[0]["name"], &failed[1]["name"]), (&"used".into(), &"missing".into()));
    let why = failed[0]["error"].as_str().unwrap();
    assert!(why.contains(&std::process::id().to_string()) && why.contains("--force"), "{why}");
    assert!(place.path().join("used").exists());

    let ran = place.run(&["rm", "used"]).exits(1);
    assert!(ran.err.contains("in use by") && ran.out.is_empty(), "{ran:?}");
    let ran = place.run(&["rm", "--force", "used"]).exits(0);
    assert!(ran.out.starts_with("removed "), "{ran:?}");
    assert!(!place.path().join("used").exists());
    drop(used.lock().unwrap());
}

#[test]
fn rm_says_where_it_looks() {
    let place = Place::new("rm-path");
    drop(place.lock("l"));
    let path = place.path().join("l");
    procshare(&["rm", path.to_str().unwrap()]).exits(0);
    assert!(!path.exists());
    assert!(procshare(&["rm", path.to_str().unwrap()]).exits(1).err.contains("does not exist"));
    place.run(&["rm", ".registry"]).exits(1);
    assert!(place.path().join(".registry").exists());
}

#[test]
fn gc_removes_remains_and_leaves_everything_else() {
    let place = Place::new("gc");
    let named = place.lock("named");
    drop(named);
    let scoped = Lock::builder().space(&place.space).lifetime(Lifetime::Scoped).create("scoped").unwrap();
    let remains = place.path().join(".tmp-0123456789abcdef0123456789abcdef");
    std::fs::write(&remains, b"").unwrap();

    let json = place.run(&["gc", "--json"]).exits(0).json();
    assert_eq!(json["spaces"][0]["remains"], serde_json::json!([remains.file_name().unwrap().to_str()]));
    assert_eq!(json["spaces"][0]["objects"], serde_json::json!([]));
    assert!(!remains.exists());
    assert!(place.path().join("named").exists() && place.path().join("scoped").exists());
    assert_eq!(place.run(&["gc"]).exits(0).out, "nothing to remove\n");

    // A copy of a scoped object has no users: it looks like one whose users were all killed.
    std::fs::copy(place.path().join("scoped"), place.path().join("orphan")).unwrap();
    assert!(place.run(&["gc"]).exits(0).out.starts_with("removed object orphan "));
    assert!(!place.path().join("orphan").exists());
    drop(scoped);
}
