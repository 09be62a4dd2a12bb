//! One value of MessagePack, its canonical form, and its place in the order.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| procshare::manager::fuzz::values(data));
