//! Shared-memory IPC.

pub mod shm;

pub use bytemuck;
pub use shm::plain::Plain;
