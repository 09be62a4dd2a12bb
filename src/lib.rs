//! Shared-memory IPC.
