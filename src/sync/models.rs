//! Models of the words of this room; see `crate::model`.

mod event_count;
mod lock_word;
