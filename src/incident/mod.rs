//! The incident of 02:47: four agents, each locally right, and a system that is wrong.
//!
//! Owns the two tellings (`scenarios/*.jsonl`, the same lines that `replay` takes), who speaks through which door, what
//! must be found, and the playing. Uses the public doors of Throughline alone: what anybody's agent could do.

mod audience;
mod doors;
mod expected;
mod stage;
mod telling;

pub use audience::Audience;
pub use doors::Doors;
pub use expected::EXPECTED;
pub use stage::{BOUND, Outcome, Stage};
pub use telling::{Telling, nights};
