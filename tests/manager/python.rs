//! Another language: a client of a hundred lines of plain Python speaks the protocol.

use std::process::Command;
use std::time::Duration;

use procshare::manager::*;

use crate::support::{Running, local, tcp, watched};

fn python(server: &Running, key: Option<&str>) -> Option<String> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/manager/client.py");
    let mut command = Command::new("python3");
    command.arg(script).arg(server.address.to_string());
    if let Some(key) = key {
        command.env("PROCSHARE_KEY", key);
    }
    let output = match command.output() {
        Ok(output) => output,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            println!("skipped: there is no python3");
            return None;
        }
        Err(error) => panic!("{error}"),
    };
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    Some(text)
}

#[test]
fn a_python_program_takes_part() {
    watched(|| {
        for server in [local(), tcp()] {
            let manager = server.client();
            let dict = Dict::<Any, Any>::create(&manager, "shared").unwrap();
            dict.set(&Any::from("from rust"), &Any::List(vec![1.into(), 2.5.into(), Any::Nil])).unwrap();
            let queue = Queue::<(String, u32)>::create(&manager, "queue", None).unwrap();
            let remote = matches!(server.address, Address::Tcp(_));
            let Some(text) = python(&server, remote.then_some("a key that both of them know....")) else {
                return;
            };
            assert!(text.contains("all is well"), "{text}");
            assert_eq!(
                dict.get(&Any::from("from python")).unwrap(),
                Some(Any::Map(vec![("x".into(), 0.25.into())]))
            );
            assert_eq!(dict.get(&Any::from(1)).unwrap(), Some("one".into()), "1.0 there is 1 here");
            assert_eq!(queue.get_timeout(Duration::from_secs(5)).unwrap(), ("task".into(), 7));
            let inner = List::<i64>::open(&manager, "from python").unwrap();
            assert_eq!(inner.snapshot().unwrap(), [3, 2, 1]);
        }
    });
}

#[test]
fn a_python_program_with_the_wrong_key_stays_outside() {
    watched(|| {
        let server = tcp();
        if let Some(text) = python(&server, Some("not the key, but as long as one")) {
            assert!(text.contains("refused: wrong key"), "{text}");
        }
    });
}
