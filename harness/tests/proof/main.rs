//! The harness proves itself: right toy protocols pass, each planted bug is caught.
#![cfg(unix)]

mod children;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod step;
#[cfg(target_os = "linux")]
mod storm;
#[cfg(target_os = "linux")]
#[cfg_attr(not(target_arch = "x86_64"), allow(dead_code))]
mod toy;
