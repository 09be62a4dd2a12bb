//! For tests. The processes of this backend are real: there is nothing to simulate but malice.

#[path = "hostile.rs"]
mod hostile;

pub use hostile::overwrite;
