//! Options of a new process.

use std::fs::File;
use std::io::{Read, Seek, Write};

use procshare::process::Process;

use crate::support::limited;

#[procshare::task]
fn surroundings(variable: String) -> (Option<String>, bool, String) {
    let has_path = std::env::var_os("PATH").is_some();
    (std::env::var(variable).ok(), has_path, std::env::current_dir().unwrap().display().to_string())
}

#[test]
fn environment_and_directory_are_what_was_said() {
    limited(|| {
        let said = Process::builder().env("PROCSHARE_COLOUR", "blue").current_dir("/");
        let child = said.start::<surroundings>(("PROCSHARE_COLOUR",)).unwrap();
        assert_eq!(child.join().unwrap(), (Some("blue".into()), true, "/".into()));
        let bare = Process::builder().env_clear().start::<surroundings>(("PROCSHARE_COLOUR",)).unwrap();
        let (colour, has_path, _) = bare.join().unwrap();
        assert_eq!((colour, has_path), (None, false));
        let inner = Process::start::<surroundings>(("PROCSHARE_TASK",)).unwrap();
        assert_eq!(inner.join().unwrap().0, None, "what started it is no business of its children");
    });
}

#[procshare::task]
fn copy_streams() -> u64 {
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text).unwrap();
    println!("out: {text}");
    eprintln!("err: {text}");
    text.len() as u64
}

fn temporary() -> File {
    let path = std::env::temp_dir().join(format!(
        "procshare-streams-{}-{:?}",
        std::process::id(),
        std::thread::current().id()
    ));
    let file = File::options().read(true).write(true).create(true).truncate(true).open(&path).unwrap();
    std::fs::remove_file(path).unwrap();
    file
}

fn read(mut file: File) -> String {
    let mut text = String::new();
    file.rewind().unwrap();
    file.read_to_string(&mut text).unwrap();
    text
}

#[test]
fn standard_streams_go_where_they_shall() {
    limited(|| {
        let (mut input, out, err) = (temporary(), temporary(), temporary());
        input.write_all(b"hello").unwrap();
        input.rewind().unwrap();
        let child = Process::builder()
            .stdin(input)
            .stdout(out.try_clone().unwrap())
            .stderr(err.try_clone().unwrap())
            .start::<copy_streams>(())
            .unwrap();
        assert_eq!(child.join().unwrap(), 5);
        assert_eq!((read(out), read(err)), ("out: hello\n".to_owned(), "err: hello\n".to_owned()));
        // Nothing, unless said.
        let quiet =
            Process::builder().stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
        assert_eq!(quiet.start::<copy_streams>(()).unwrap().join().unwrap(), 0);
    });
}
