//! `procshare serve`

use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};

use procshare::manager::{Address, Dict, Key, Manager};

use super::{command, procshare};

/// A running server, and what it printed first.
fn serving(args: &[&str]) -> (Child, String) {
    let mut child = command().arg("serve").args(args).stdout(Stdio::piped()).spawn().unwrap();
    let mut said = String::new();
    let mut out = BufReader::new(child.stdout.as_mut().unwrap());
    // One line, or one JSON object.
    while out.read_line(&mut said).unwrap() > 0 && said.starts_with('{') && !said.ends_with("\n}\n") {}
    (child, said)
}

fn end(mut child: Child) {
    // SAFETY: takes no pointers; the child has not been waited for, so its number is its own.
    assert_eq!(unsafe { libc::kill(child.id().try_into().unwrap(), libc::SIGTERM) }, 0);
    assert!(child.wait().unwrap().success());
}

#[test]
fn serve_keeps_objects_until_it_is_told_to_end() {
    let path = std::env::temp_dir().join(format!("procshare-cli-serve-{}", std::process::id()));
    let name = path.to_str().unwrap();
    let (child, line) = serving(&[name]);
    assert_eq!(line, format!("serving at unix:{name}\n"));
    let address = Address::Unix(path.clone());
    let first = Manager::connect(&address).unwrap();
    Dict::<String, u32>::create(&first, "ages").unwrap().set("Ada", &36).unwrap();
    drop(first);
    let listed = procshare(&["ls", "--manager", name]).exits(0);
    assert!(listed.out.contains("dict") && listed.out.contains("ages"), "{listed:?}");
    let object = &procshare(&["ls", "--manager", name, "--json"]).exits(0).json()["objects"][0];
    assert_eq!((&object["name"], &object["len"]), (&"ages".into(), &1.into()));
    procshare(&["ls", "--manager", "/nowhere/at/all"]).exits(1);
    let shown = procshare(&["show", "ages", "--manager", name]).exits(0);
    for part in ["kind:          dict", "elements:      1", "references:    1", "\"Ada\" => 36"] {
        assert!(shown.out.contains(part), "no '{part}': {shown:?}");
    }
    assert!(procshare(&["show", "none", "--manager", name]).exits(1).err.contains("no object 'none'"));
    assert!(procshare(&["show", "@99", "--manager", name]).exits(1).err.contains("99"));
    procshare(&["show", "ages", "--manager", "/nowhere/at/all"]).exits(1);
    procshare(&["show", "ages", "--manager", name, "--space", "work"]).exits(2);
    procshare(&["ls", "jobs", "--manager", name]).exits(2);
    let second = Manager::connect(&address).unwrap();
    assert_eq!(Dict::<String, u32>::open(&second, "ages").unwrap().get("Ada").unwrap(), Some(36));
    who_holds_and_who_waits(&second, name);
    let refused = procshare(&["serve", name]).exits(1);
    assert!(refused.err.contains("a server listens at"), "{refused:?}");
    end(child);
    assert!(second.ping().is_err() && !path.exists());
}

/// One client holds a lock, another one waits for it: both are this process.
fn who_holds_and_who_waits(manager: &Manager, name: &str) {
    let lock = procshare::manager::Lock::create(manager, "turn").unwrap();
    let guard = lock.lock().unwrap();
    let other = Manager::connect(manager.address()).unwrap();
    std::thread::scope(|scope| {
        let waits =
            scope.spawn(|| drop(procshare::manager::Lock::open(&other, "turn").unwrap().lock().unwrap()));
        while manager.describe("turn", 0).unwrap().waiting.is_empty() {
            std::thread::yield_now();
        }
        let shown = procshare(&["show", "turn", "--manager", name, "--json"]).exits(0).json();
        let me = format!("process {} of user", std::process::id());
        assert_eq!((&shown["kind"], &shown["state"]["held"]), (&"lock".into(), &true.into()), "{shown}");
        let (held, waiting) = (&shown["holders"][0], &shown["waiting"][0]);
        assert_eq!(held["figures"]["fence"], guard.fence());
        assert!(held["client"] != waiting["client"]);
        for who in [held, waiting] {
            assert!(who["who"].as_str().unwrap().starts_with(&me), "{shown}");
        }
        let number = format!("@{}", shown["number"]);
        let text = procshare(&["show", &number, "--manager", name]).exits(0).out;
        assert!(
            text.contains(&format!("held by:       {me}")) && text.contains("waits:         process"),
            "{text}"
        );
        drop(guard);
        waits.join().unwrap();
    });
}

#[test]
fn serve_over_tcp_needs_a_key() {
    let refused = procshare(&["serve", "tcp:127.0.0.1:0"]).exits(1);
    assert!(refused.err.contains("give it a key"), "{refused:?}");
    procshare(&["serve", "nowhere"]).exits(2);
    let path = std::env::temp_dir().join(format!("procshare-cli-key-{}", std::process::id()));
    std::fs::write(&path, "0123456789abcdef0123456789abcdef\n").unwrap();
    let file = path.to_str().unwrap();
    let exposed = procshare(&["serve", "tcp:127.0.0.1:0", "--key-file", file]).exits(1);
    assert!(exposed.err.contains("chmod 600"), "{exposed:?}");
    std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let (child, line) = serving(&["tcp:127.0.0.1:0", "--key-file", file, "--json"]);
    let told: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!(told["pid"], child.id());
    let address: Address = told["addresses"][0].as_str().unwrap().parse().unwrap();
    let key = Key::from_file(&path).unwrap();
    Manager::builder().key(key).connect(&address).unwrap().ping().unwrap();
    end(child);
    std::fs::remove_file(path).unwrap();
}

#[test]
fn rings_are_given_out_as_the_server_and_the_client_say() {
    let path = std::env::temp_dir().join(format!("procshare-cli-ring-{}", std::process::id()));
    let name = path.to_str().unwrap();
    let transport = |args: &[&str]| {
        let listed = procshare(&[&["ls", "--manager", name, "--json"], args].concat()).exits(0).json();
        listed["transport"].as_str().unwrap().to_owned()
    };
    let (child, _) = serving(&[name, "--ring", "4096", "--objects", "1", "--lost", "0"]);
    assert_eq!(transport(&[]), if cfg!(target_os = "linux") { "ring" } else { "socket" });
    assert_eq!(transport(&["--transport", "socket"]), "socket");
    let manager = Manager::connect(&Address::Unix(path.clone())).unwrap();
    let _first = Dict::<u32, u32>::anonymous(&manager).unwrap();
    assert!(Dict::<u32, u32>::anonymous(&manager).unwrap_err().to_string().contains("1 objects"));
    end(child);
    let (child, _) = serving(&[name, "--ring", "0"]);
    assert_eq!(transport(&[]), "socket");
    let refused = procshare(&["ls", "--manager", name, "--transport", "ring"]).exits(1);
    assert!(refused.err.contains("gives out no rings"), "{refused:?}");
    end(child);
    procshare(&["serve", name, "--ring", "5000"]).exits(2);
    procshare(&["ls", "--transport", "socket"]).exits(2);
    procshare(&["ls", "--manager", name, "--transport", "pigeon"]).exits(2);
}

#[test]
fn serve_ends_in_good_order_when_it_is_interrupted() {
    let path = std::env::temp_dir().join(format!("procshare-cli-int-{}", std::process::id()));
    let mut command = command();
    command.arg("serve").arg(&path).args(["--log", "info"]).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    out.read_line(&mut String::new()).unwrap();
    let manager = Manager::connect(&Address::Unix(path.clone())).unwrap();
    let event = procshare::manager::Event::anonymous(&manager).unwrap();
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| event.wait());
        while manager.stats().unwrap().waiting == 0 {
            std::thread::yield_now();
        }
        // SAFETY: takes no pointers; the child has not been waited for, so its number is its own.
        assert_eq!(unsafe { libc::kill(child.id().try_into().unwrap(), libc::SIGINT) }, 0);
        let told = waiter.join().unwrap().unwrap_err().to_string();
        assert!(told.contains("shut down"), "{told}");
    });
    let log = std::io::read_to_string(child.stderr.take().unwrap()).unwrap();
    assert!(child.wait().unwrap().success() && !path.exists());
    let me = format!("who=\"process {} of user", std::process::id());
    for part in [
        "INFO procshare::manager",
        "a manager serves",
        "a client is let in",
        &me,
        "the server ends clients=1",
    ] {
        assert!(log.contains(part), "no '{part}': {log}");
    }
}

/// A certificate for this machine that signed itself, and its key; both files have gone with the directory at the end.
#[cfg(feature = "tls")]
fn certificate() -> (std::path::PathBuf, [String; 3]) {
    use std::os::unix::fs::PermissionsExt;
    let directory = std::env::temp_dir().join(format!("procshare-cli-tls-{}", std::process::id()));
    std::fs::create_dir(&directory).unwrap();
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let write = |name: &str, text: &str| {
        let path = directory.join(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let files = [
        write("cert.pem", &made.cert.pem()),
        write("cert-key.pem", &made.signing_key.serialize_pem()),
        write("key", "0123456789abcdef0123456789abcdef\n"),
    ];
    (directory, files)
}

#[cfg(feature = "tls")]
#[test]
fn serve_over_tls_shows_a_certificate() {
    let (directory, [cert, cert_key, key]) = certificate();
    let place = "tls:127.0.0.1:0";
    let bare = procshare(&["serve", place, "--key-file", &key]).exits(1);
    assert!(bare.err.contains("--cert FILE --cert-key FILE"), "{bare:?}");
    procshare(&["serve", place, "--key-file", &key, "--cert", &cert]).exits(2);
    let swapped = ["serve", place, "--key-file", &key, "--cert", &cert_key, "--cert-key", &cert_key];
    assert!(procshare(&swapped).exits(1).err.contains("holds no certificate"));
    let (child, line) = serving(&[place, "--key-file", &key, "--cert", &cert, "--cert-key", &cert_key]);
    let address = line.trim().strip_prefix("serving at ").unwrap();
    assert!(address.starts_with("tls:127.0.0.1:"), "{line}");
    let manager = Manager::builder()
        .key(Key::from_file(&key).unwrap())
        .roots(procshare::manager::TlsRoots::from_file(&cert).unwrap())
        .connect(&address.parse().unwrap())
        .unwrap();
    let _dict = Dict::<String, u32>::create(&manager, "ages").unwrap();
    let how = ["--manager", address, "--key-file", &key, "--ca", &cert];
    assert!(procshare(&[&["ls"], &how[..]].concat()).exits(0).out.contains("ages"));
    assert!(procshare(&[&["show", "ages"], &how[..]].concat()).exits(0).out.contains("dict"));
    let nobody = procshare(&["ls", "--manager", address, "--key-file", &key]).exits(1);
    assert!(nobody.err.contains("--ca FILE"), "{nobody:?}");
    end(child);
    std::fs::remove_dir_all(directory).unwrap();
}

#[cfg(not(feature = "tls"))]
#[test]
fn a_command_without_tls_says_so() {
    let path = std::env::temp_dir().join(format!("procshare-cli-no-tls-{}", std::process::id()));
    std::fs::write(&path, "0123456789abcdef0123456789abcdef\n").unwrap();
    std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let file = path.to_str().unwrap();
    let served = procshare(&["serve", "tls:127.0.0.1:0", "--key-file", file]).exits(1);
    let listed = procshare(&["ls", "--manager", "tls:127.0.0.1:1", "--key-file", file]).exits(1);
    for refused in [served, listed] {
        assert!(refused.err.contains("without procshare's feature `tls`"), "{refused:?}");
    }
    std::fs::remove_file(path).unwrap();
}
