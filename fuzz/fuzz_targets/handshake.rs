//! Somebody at the door who does not know the key.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| procshare::manager::fuzz::handshake(data));
