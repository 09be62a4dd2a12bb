//! What queues promise, seen through the public interface.

mod plain;
