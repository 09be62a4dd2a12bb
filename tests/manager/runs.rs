//! Runs, as anybody may send them: many calls of one method in one frame.

use procshare::manager::{Dict, Limits, Queue};

use crate::raw::{Raw, pack, undisturbed};
use crate::support::{limited, local, over_both};

/// A request of these calls, from number `id` on.
fn run(id: u8, object: u64, method: &str, calls: &[&[u8]]) -> Vec<u8> {
    let mut content = vec![0xdc];
    content.extend((3 + calls.len() as u16).to_be_bytes());
    content.extend([id, object as u8, 0xa0 | method.len() as u8]);
    content.extend(method.as_bytes());
    calls.iter().for_each(|call| content.extend(*call));
    pack::frame(&content)
}

#[test]
fn results_share_frames_and_a_failure_has_its_own() {
    over_both(|| {
        let server = local();
        let dict = Dict::<u8, u8>::create(&server.client(), "dict").unwrap();
        let object = dict.object().number();
        dict.set(&1, &10).unwrap();
        Dict::<u8, String>::from_object(dict.object().clone()).set(&2, &"no".into()).unwrap();
        let mut raw = Raw::inside(&server);
        let call = |key: u8| vec![0x92, key, 1];
        raw.send(&run(5, object, "add", &[&call(1), &call(1), &call(2), &call(3)]));
        assert_eq!(raw.frame().unwrap(), [0xdc, 0, 4, 0xc0, 5, 11, 12]);
        let failed = raw.frame().unwrap();
        assert!(failed.starts_with(b"\x93\x07\xaaarithmetic"), "{failed:02x?}");
        assert_eq!(raw.frame().unwrap(), [0xdc, 0, 3, 0xc0, 8, 1]);
        // To one call comes one answer as ever, and none to a run without numbers.
        raw.send(&run(9, object, "get", &[&[0x91, 3]]));
        assert_eq!(raw.frame().unwrap(), [0x92, 9, 0x91, 1]);
        raw.send(&run(0, object, "add", &[&call(3), &call(3)]));
        raw.send(&run(1, object, "get", &[&[0x91, 3], &[0x91, 9]]));
        assert_eq!(raw.frame().unwrap(), [0xdc, 0, 4, 0xc0, 1, 0x91, 3, 0x90]);
    });
}

#[test]
fn calls_of_a_run_that_wait_delay_none() {
    over_both(|| {
        let server = local();
        let manager = server.client();
        let queue = Queue::<u8>::create(&manager, "queue", None).unwrap();
        let object = queue.object().number();
        queue.put(7).unwrap();
        let mut raw = Raw::inside(&server);
        raw.send(&run(1, object, "get", &[&[0x91, 0xc0][..]; 3]));
        let first = raw.frame().unwrap();
        assert!(first.starts_with(&[0xdc, 0, 3, 0xc0, 1, 0x92]) && first.ends_with(&[7]), "{first:02x?}");
        raw.send(&pack::call(9, 0, "ping"));
        assert_eq!(raw.frame().unwrap(), [0x92, 9, 0xc0]);
        for (id, item) in [(2, 8), (3, 9)] {
            queue.put(item).unwrap();
            let answer = raw.frame().unwrap();
            assert!(answer.starts_with(&[0x92, id, 0x92]) && answer.ends_with(&[item]), "{answer:02x?}");
        }
    });
}

#[test]
fn a_run_stops_where_its_answers_are_too_much_and_goes_on_when_they_are_read() {
    over_both(|| {
        let server = limited(Limits { unread: 4 << 10, ..Limits::default() });
        let dict = Dict::<u8, String>::create(&server.client(), "dict").unwrap();
        let object = dict.object().number();
        // Each goes alone, and in between some go together.
        dict.set(&1, &"x".repeat(3_000)).unwrap();
        dict.set(&2, &"y".repeat(500)).unwrap();
        let mut raw = Raw::inside(&server);
        let calls: Vec<&[u8]> =
            (0..256).map(|n| if n % 8 == 0 { &[0x91, 1][..] } else { &[0x91, 2] }).collect();
        raw.send(&run(0x10, object, "get", &calls[..100]));
        raw.send(&pack::call(0x7f, 0, "ping"));
        // Others are served meanwhile.
        server.client().ping().unwrap();
        let mut next = 0x10;
        loop {
            let answer = raw.frame().unwrap();
            match answer[..] {
                [0x92, 0x7f, 0xc0] => break,
                // A long one.
                [0x92, id, 0x91, 0xda, ..] => {
                    assert_eq!(id, next);
                    assert_eq!(answer.len(), 2 + 1 + 3 + 3_000);
                    next += 1;
                }
                [0xdc, 0, elements, 0xc0, id, 0x91, 0xda, ..] => {
                    assert_eq!(id, next);
                    let results = usize::from(elements) - 2;
                    assert_eq!(answer.len(), 5 + results * (1 + 3 + 500));
                    next += results as u8;
                }
                _ => panic!("{:02x?}", &answer[..20.min(answer.len())]),
            }
        }
        assert_eq!(next, 0x10 + 100);
    });
}

#[test]
fn more_calls_than_a_run_has_end_their_client() {
    over_both(|| {
        let server = local();
        undisturbed(&server, || {
            for (calls, words) in [(257, "no request"), (0, "no request")] {
                let mut raw = Raw::inside(&server);
                raw.send(&run(1, 0, "ping", &vec![&[0x90][..]; calls]));
                let told = raw.last_words();
                assert!(told.contains(words), "{told}");
            }
            // What came before the nonsense was done.
            let mut raw = Raw::inside(&server);
            raw.send(&run(1, 0, "ping", &[&[0x90], &[0xc1]]));
            let told = raw.last_words();
            assert!(told.contains("0xc1 begins no value"), "{told}");
        });
    });
}
