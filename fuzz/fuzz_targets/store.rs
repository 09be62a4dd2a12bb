//! Calls of several clients, deaths and time.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| procshare::manager::fuzz::store(data));
