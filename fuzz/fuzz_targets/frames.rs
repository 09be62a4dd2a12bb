//! Bytes cut into frames.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| procshare::manager::fuzz::frames(data));
