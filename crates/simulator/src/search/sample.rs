//! Which states of a level are kept when there are too many.
//!
//! A plain random sample is full of what is common: states in which little has happened, in many orders. What is rare leads on.
//! So states are sorted into classes, and each class gets an equal share.

use crate::search::paths::Link;
use crate::search::steps::Steps;
use crate::search::table::mix;
use crate::search::world::World;

/// A state that the next level could have.
#[derive(Clone, Copy, Debug)]
pub(super) struct Candidate {
    class: u64,
    /// Its place in a random order.
    order: u64,
    /// Where the state that it comes from is in the list of this level.
    pub(super) parent: usize,
    pub(super) link: Link,
}

impl Candidate {
    pub(super) fn new(world: &World, steps: &Steps, seed: u64, parent: usize, link: Link) -> Self {
        Self { class: class_of(world, steps), order: mix(world.key() ^ mix(seed)), parent, link }
    }
}

/// A rough description: what happened to whom, not in which order, nor what is under way.
fn class_of(world: &World, steps: &Steps) -> u64 {
    let mut class = mix(u64::from(world.ghost) << 32 | u64::from(world.crashes) << 16 | u64::from(world.submitted));
    for local in &world.locals {
        let seen = &steps.local(*local).seen;
        class = mix(class ^ (seen.status as u64) << 48 ^ seen.view.0 << 32 ^ seen.incarnation.0 << 16 ^ seen.op.0);
    }
    class
}

/// Keeps at most `width` of them, in the order of their parents.
pub(super) fn choose(mut candidates: Vec<Candidate>, width: usize) -> Vec<Candidate> {
    if candidates.len() > width {
        candidates.sort_unstable_by_key(|candidate| (candidate.class, candidate.order));
        let mut classes: Vec<&[Candidate]> = candidates.chunk_by(|left, right| left.class == right.class).collect();
        classes.sort_by_key(|class| class.len());
        let (mut left, count) = (width, classes.len());
        let mut chosen = Vec::with_capacity(width);
        for (place, class) in classes.into_iter().enumerate() {
            let share = left.div_ceil(count - place).min(class.len()).min(left);
            left -= share;
            chosen.extend_from_slice(&class[..share]);
        }
        candidates = chosen;
    }
    candidates.sort_unstable_by_key(|candidate| (candidate.parent, candidate.order));
    candidates
}
