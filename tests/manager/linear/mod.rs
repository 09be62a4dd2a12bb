//! Whether every object behaves as if one client after the other used it, whoever dies meanwhile.

mod check;
mod history;
mod judged;
mod models;
mod objects;
mod record;
mod server;
mod shared;
mod storm;
mod worker;
