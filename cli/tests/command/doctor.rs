//! `doctor` on good and bad places.

use crate::{Place, procshare};

#[test]
fn doctor_checks_a_live_space() {
    let place = Place::new("doctor");
    let lock = place.lock("l");
    let json = place.run(&["doctor", "--json"]).exits(0).json();
    assert_eq!(json["failures"], 0);
    let findings = json["findings"].as_array().unwrap();
    let path = place.path().to_str().unwrap();
    for check in ["room", "publication", "locks", "mode", "participants", "objects"] {
        let name = format!("{path} {check}");
        assert!(findings.iter().any(|finding| finding["check"] == name.as_str()), "{name}");
    }
    assert!(findings.iter().any(|finding| finding["check"] == "futex_waitv"));
    let text = place.run(&["doctor"]).exits(0).out;
    assert!(text.lines().count() > findings.len(), "one line each, and a last one");
    drop(lock);
}

#[test]
fn what_does_not_work_is_a_failure_and_warnings_count_on_demand() {
    let place = Place::new("doctor-bad");
    std::fs::write(place.path().join("not ours"), b"").unwrap();
    let ran = place.run(&["doctor"]).exits(0);
    assert!(ran.out.contains("WARNING") && ran.out.contains("-> remove the file"), "{ran:?}");
    place.run(&["doctor", "--strict"]).exits(1);
    std::fs::write(place.path().join("broken"), b"junk").unwrap();
    let ran = place.run(&["doctor"]).exits(1);
    assert!(ran.out.contains("FAILURE") && ran.out.contains("broken"), "{ran:?}");
    assert!(place.run(&["doctor", "--json"]).exits(1).json()["failures"].as_u64().unwrap() >= 1);
}

#[test]
fn a_directory_that_cannot_carry_objects_is_named() {
    for path in ["/nonexistent/space", "/proc/self"] {
        let ran = procshare(&["doctor", "--space", path]).exits(1);
        assert!(ran.out.contains(path) && ran.out.contains("FAILURE"), "{ran:?}");
    }
}
