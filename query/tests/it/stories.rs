//! The small world of the recipes: the incident, an approval that times out, a triage whose escalations rise with a new
//! version, a market research that waits for one of three branches. Every figure in `docs/sql/` is of this world.

use crate::articles::{approvals, research, support};
use crate::world::{World, event, scenario};

/// All stories in one archive.
pub fn stories() -> World {
    let world = World::empty();
    world.play(&scenario("incident"));
    world.play(&scenario("incident-told-properly"));
    world.play(&approvals());
    world.play(&support());
    world.play(&research());
    world.events(1, &[event("sent-twice", 1), event("sent-twice", 1)]);
    world
}
