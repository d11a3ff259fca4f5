//! What may be counted together in a view change: one log of each member, none from before a crash that another knows of.

use viewstamped_protocol::configuration::MEMBERS_MAX;
use viewstamped_protocol::crash_vector::CrashVector;
use viewstamped_protocol::{Configuration, Incarnation, OpNumber, ViewNumber};

/// The incarnations a replica knows, by place.
pub(crate) type Known = [Incarnation; MEMBERS_MAX];

/// A log as a view change would see it: what it is ranked by, and what decides whether it may be counted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Candidate {
    pub(crate) place: usize,
    pub(crate) incarnation: Incarnation,
    pub(crate) rank: (ViewNumber, OpNumber),
    pub(crate) known: Known,
    /// Whether it holds everything decided before the view in question.
    pub(crate) holds: bool,
}

impl Candidate {
    /// Whether one quorum may contain both.
    pub(crate) fn agrees_with(&self, other: &Self) -> bool {
        self.incarnation >= other.known[self.place] && other.incarnation >= self.known[other.place]
    }
}

/// The candidates of other places that may be in one quorum with `first`, as far as `is_wanted` says so.
pub(crate) fn followers_of(
    first: &Candidate,
    candidates: &[Vec<Candidate>],
    is_wanted: impl Fn(&Candidate) -> bool,
) -> Vec<Vec<Candidate>> {
    let fits = |other: &&Candidate| other.place != first.place && is_wanted(other) && other.agrees_with(first);
    candidates.iter().map(|of_place| of_place.iter().filter(fits).copied().collect()).collect()
}

/// Extends `members` by one candidate of each further place, as far as all agree, to the size of a quorum.
pub(crate) fn complete(members: &mut Vec<Candidate>, followers: &[Vec<Candidate>], quorum: usize) -> bool {
    if members.len() >= quorum {
        return true;
    }
    let Some((of_place, rest)) = followers.split_first() else { return false };
    if members.len() + followers.iter().filter(|of_place| !of_place.is_empty()).count() < quorum {
        return false;
    }
    for candidate in of_place {
        if members.iter().all(|member| member.agrees_with(candidate)) {
            members.push(*candidate);
            if complete(members, rest, quorum) {
                return true;
            }
            members.pop();
        }
    }
    complete(members, rest, quorum)
}

/// A crash vector by place.
pub(crate) fn known_of(configuration: &Configuration, vector: &CrashVector) -> Known {
    let mut known = [Incarnation::ZERO; MEMBERS_MAX];
    for (place, id) in configuration.ids().enumerate() {
        known[place] = vector.known(id);
    }
    known
}
