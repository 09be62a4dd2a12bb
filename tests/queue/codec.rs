//! `CodecQueue<T, C>`: what cannot be encoded or decoded is an error where it belongs, and in nobody's way.

use procshare::{Codec, CodecFault, CodecQueue, Error, GetError, PutError};
use procshare_harness::watchdog;

use crate::support::Home;
use crate::{PATIENCE, kill_myself, killed};

/// Text as UTF-8, without exclamation marks.
pub(crate) struct Text;

impl Codec<String> for Text {
    const NAME: &'static str = "text";

    fn encode(item: &String, to: &mut Vec<u8>) -> Result<(), CodecFault> {
        if item.contains('!') {
            return Err("too loud".into());
        }
        to.extend_from_slice(item.as_bytes());
        Ok(())
    }

    fn decode(bytes: &[u8]) -> Result<String, CodecFault> {
        assert_ne!(bytes, b"panic");
        if bytes == b"die" {
            kill_myself();
        }
        Ok(std::str::from_utf8(bytes)?.to_owned())
    }
}

/// Any bytes, under the name of text.
struct Raw;

impl Codec<Vec<u8>> for Raw {
    const NAME: &'static str = "text";

    fn encode(item: &Vec<u8>, to: &mut Vec<u8>) -> Result<(), CodecFault> {
        to.extend_from_slice(item);
        Ok(())
    }

    fn decode(bytes: &[u8]) -> Result<Vec<u8>, CodecFault> {
        Ok(bytes.to_vec())
    }
}

/// As [`Raw`], under another name.
struct Other;

impl Codec<Vec<u8>> for Other {
    const NAME: &'static str = "other";

    fn encode(item: &Vec<u8>, to: &mut Vec<u8>) -> Result<(), CodecFault> {
        Raw::encode(item, to)
    }

    fn decode(bytes: &[u8]) -> Result<Vec<u8>, CodecFault> {
        Raw::decode(bytes)
    }
}

fn text(words: &str) -> String {
    words.to_owned()
}

#[test]
fn items_come_as_they_went() {
    watchdog(PATIENCE, || {
        let queue = CodecQueue::<String, Text>::anonymous(1000).unwrap();
        queue.put(&text("one")).unwrap();
        queue.put_many(&[text(""), text("three")]).unwrap();
        assert_eq!(queue.len(), 3);
        assert_eq!(queue.get().unwrap(), "one");
        assert_eq!(queue.peek().unwrap().release(), "");
        assert_eq!(*queue.peek().unwrap(), "three");
        assert_eq!(queue.try_get().unwrap(), "three", "what was not released is delivered again");
        assert!(matches!(queue.try_get(), Err(GetError::Empty)));
        queue.put(&text("last")).unwrap();
        queue.close().unwrap();
        let items: Vec<String> = queue.iter().map(Result::unwrap).collect();
        assert_eq!(items, ["last"]);
        assert!(matches!(queue.put(&text("late")), Err(PutError::Closed(()))));
    });
}

#[test]
fn what_cannot_be_encoded_or_is_too_long_is_not_put() {
    let queue = CodecQueue::<String, Text>::anonymous(10).unwrap();
    let error = queue.put(&text("no!")).unwrap_err();
    assert!(matches!(&error, PutError::Failed((), Error::NotEncoded { codec: "text", .. })), "{error}");
    assert!(error.to_string().contains("too loud"), "{error}");
    assert!(matches!(
        queue.try_put(&"x".repeat(11)),
        Err(PutError::Failed((), Error::TooLong { room: 10, found: 11, .. }))
    ));
    assert!(matches!(
        queue.put_many(&[text("a"), text("b!")]),
        Err(PutError::Failed(0, Error::NotEncoded { .. }))
    ));
    assert_eq!(queue.counts(), (0, 0));
}

#[test]
fn what_cannot_be_decoded_is_an_error_once() {
    let home = Home::new();
    let raw = CodecQueue::<Vec<u8>, Raw>::builder().space(&home.space).create("it", 100).unwrap();
    let queue = CodecQueue::<String, Text>::builder().space(&home.space).open("it").unwrap();
    for bytes in [&b"good"[..], &[0xff, 0xfe], b"panic", b"better"] {
        raw.put(&bytes.to_vec()).unwrap();
    }
    assert_eq!(queue.get().unwrap(), "good");
    let error = queue.get().unwrap_err();
    assert!(matches!(error, GetError::Failed(Error::NotDecoded { codec: "text", .. })), "{error}");
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| queue.get()));
    assert!(panicked.is_err());
    assert_eq!(queue.get().unwrap(), "better");
    assert_eq!(queue.counts(), (4, 4));
    raw.try_put(&vec![1; 100]).unwrap();
}

#[test]
fn an_item_whose_consumer_dies_while_it_decodes_goes_to_the_next() {
    let home = Home::new();
    let raw = CodecQueue::<Vec<u8>, Raw>::builder().space(&home.space).create("it", 100).unwrap();
    raw.put(&b"die".to_vec()).unwrap();
    let queue = CodecQueue::<String, Text>::builder().space(&home.space).open("it").unwrap();
    killed(|| drop(queue.get()));
    assert_eq!(raw.get().unwrap(), b"die");
}

#[test]
fn another_codec_is_refused() {
    let home = Home::new();
    let _text = CodecQueue::<String, Text>::builder().space(&home.space).create("it", 100).unwrap();
    let other = CodecQueue::<Vec<u8>, Other>::builder().space(&home.space).open("it");
    let error = other.unwrap_err();
    assert!(matches!(&error, Error::WrongType { .. }), "{error}");
    assert!(error.to_string().contains("text") && error.to_string().contains("other"), "{error}");
    let bytes = procshare::BytesQueue::builder().space(&home.space).open("it");
    assert!(matches!(bytes, Err(Error::WrongKind { .. })));
}

#[cfg(feature = "postcard")]
mod postcard {
    use procshare::{DEFAULT_BYTES_CAPACITY, PostcardQueue};
    use procshare_harness::Child;
    use serde::{Deserialize, Serialize};

    use super::*;

    #[derive(Serialize, Deserialize, PartialEq, Debug, Clone)]
    enum Job {
        Read { path: String, lines: Option<Vec<u32>> },
        Stop,
    }

    #[test]
    fn serde_types_travel_between_processes() {
        watchdog(PATIENCE, || {
            let (jobs, done) = (
                PostcardQueue::<Job>::anonymous(DEFAULT_BYTES_CAPACITY).unwrap(),
                PostcardQueue::<(usize, Job)>::anonymous(DEFAULT_BYTES_CAPACITY).unwrap(),
            );
            let worker = Child::fork(|| {
                for (number, job) in jobs.iter().enumerate() {
                    done.put(&(number, job.unwrap())).unwrap();
                }
            });
            let sent: Vec<Job> = (0..500)
                .map(|number| Job::Read { path: "p".repeat(number), lines: Some(vec![1; number % 7]) })
                .chain([Job::Stop])
                .collect();
            jobs.put_many(&sent).unwrap();
            jobs.close().unwrap();
            for (number, job) in sent.iter().enumerate() {
                assert_eq!(done.get().unwrap(), (number, job.clone()));
            }
            worker.wait(PATIENCE).unwrap();
        });
    }

    #[test]
    fn bytes_of_another_type_are_an_error_once() {
        let home = Home::new();
        let longs = PostcardQueue::<(u64, u64)>::builder().space(&home.space).create("it", 100).unwrap();
        let bytes = PostcardQueue::<u8>::builder().space(&home.space).open("it").unwrap();
        longs.put(&(1, 2)).unwrap();
        bytes.put(&3).unwrap();
        let error = bytes.get().unwrap_err();
        assert!(matches!(error, GetError::Failed(Error::NotDecoded { codec: "postcard", .. })), "{error}");
        assert_eq!(bytes.get().unwrap(), 3);
    }

    /// Serialises to nothing but an error.
    #[derive(Deserialize)]
    struct Never;

    impl Serialize for Never {
        fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
            Err(serde::ser::Error::custom("never"))
        }
    }

    #[test]
    fn an_item_that_does_not_serialise_is_an_error_at_put() {
        let queue = PostcardQueue::<Never>::anonymous(100).unwrap();
        assert!(matches!(queue.put(&Never), Err(PutError::Failed((), Error::NotEncoded { .. }))));
        assert!(queue.is_empty());
    }
}
