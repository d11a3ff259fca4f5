//! The members of the group, their quorums (2.2) and the primary of a view (4).

use std::collections::BTreeSet;

use crate::numbers::{EpochNumber, NodeId, ViewNumber};

/// The largest group: quorums of more than this many replicas serve nobody, and tables are sized by it.
pub const MEMBERS_MAX: usize = 31;

/// What a member does (6.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Stores the state and executes operations.
    #[default]
    Active,
}

/// One member of the group.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Member {
    /// Its stable name.
    pub id: NodeId,
    /// What it does.
    pub role: Role,
    /// Where its peers reach it (`host:port`); opaque to the protocol.
    pub address: String,
}

/// The ordered list of members in one epoch. Never empty, no node twice.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Configuration {
    epoch: EpochNumber,
    members: Vec<Member>,
}

/// Why a list of members is no configuration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigurationError {
    /// There are no members.
    #[error("a group needs at least one member; list them as \"0=host:port,1=host:port,2=host:port\"")]
    Empty,
    /// More than [`MEMBERS_MAX`] members.
    #[error("{0} members are too many: a group has at most {MEMBERS_MAX}")]
    TooMany(usize),
    /// Two members have one id.
    #[error("replica id {} is listed twice; give every member an id of its own", .0.0)]
    DuplicateId(NodeId),
    /// Two members have one address.
    #[error("address {0} is listed twice; every member needs an address of its own")]
    DuplicateAddress(String),
}

impl Configuration {
    /// Makes the configuration of `epoch` from its members, in the order in which they become primary.
    ///
    /// # Errors
    /// When the list is empty, too long, or names an id or an address twice.
    pub fn new(epoch: EpochNumber, members: Vec<Member>) -> Result<Self, ConfigurationError> {
        if members.is_empty() {
            return Err(ConfigurationError::Empty);
        }
        if members.len() > MEMBERS_MAX {
            return Err(ConfigurationError::TooMany(members.len()));
        }
        let mut ids = BTreeSet::new();
        let mut addresses = BTreeSet::new();
        for member in &members {
            if !ids.insert(member.id) {
                return Err(ConfigurationError::DuplicateId(member.id));
            }
            if !addresses.insert(&member.address) {
                return Err(ConfigurationError::DuplicateAddress(member.address.clone()));
            }
        }
        let configuration = Self { epoch, members };
        // 2.2: any two quorums intersect.
        assert!(2 * configuration.quorum() > configuration.len());
        Ok(configuration)
    }

    /// The epoch in which this configuration is in force.
    #[must_use]
    pub fn epoch(&self) -> EpochNumber {
        self.epoch
    }

    /// The members, in order.
    #[must_use]
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// The ids of the members, in order.
    pub fn ids(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.members.iter().map(|member| member.id)
    }

    /// The paper's K: how many members there are.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "a configuration is never empty")]
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// The paper's f: the largest f with 2f + 1 <= K (2.2).
    #[must_use]
    pub fn threshold(&self) -> usize {
        (self.len() - 1) / 2
    }

    /// K - f, used for every quorum there is, commits included, so that even-sized groups are safe (2.2).
    #[must_use]
    pub fn quorum(&self) -> usize {
        self.len() - self.threshold()
    }

    /// Whether the group has an even number of members, and so tolerates no more failures than with one fewer.
    #[must_use]
    pub fn is_even(&self) -> bool {
        self.len().is_multiple_of(2)
    }

    /// The place of `id` in the configuration: the paper's replica number.
    #[must_use]
    pub fn index_of(&self, id: NodeId) -> Option<usize> {
        self.members.iter().position(|member| member.id == id)
    }

    /// Whether `id` is a member.
    #[must_use]
    pub fn contains(&self, id: NodeId) -> bool {
        self.index_of(id).is_some()
    }

    /// The primary of `view`: round-robin over the members (4).
    #[must_use]
    pub fn primary(&self, view: ViewNumber) -> NodeId {
        let index = view.0 % self.len() as u64;
        self.members[usize::try_from(index).expect("below len")].id
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(size: u64) -> Configuration {
        let members =
            (0..size).map(|id| Member { id: NodeId(id), role: Role::Active, address: format!("h:{id}") }).collect();
        Configuration::new(EpochNumber::ZERO, members).unwrap()
    }

    /// 2.2: "the threshold is the largest f such that 2f+1 is less than or equal to the group size, K, and a quorum is of size K - f".
    #[test]
    fn quorum_is_group_size_minus_threshold() {
        let expected = [(1, 0, 1), (2, 0, 2), (3, 1, 2), (4, 1, 3), (5, 2, 3), (6, 2, 4), (7, 3, 4)];
        for (size, threshold, quorum) in expected {
            assert_eq!((group(size).threshold(), group(size).quorum()), (threshold, quorum), "K={size}");
        }
    }

    /// 4: "The primary is chosen round-robin, starting with replica 1, as the system moves to new views."
    #[test]
    fn primary_is_chosen_round_robin() {
        let group = group(3);
        let primaries: Vec<u64> = (0..5).map(|view| group.primary(ViewNumber(view)).0).collect();
        assert_eq!(primaries, [0, 1, 2, 0, 1]);
    }

    /// N8: "The replicas are numbered based on their IP addresses" (4). Ours are numbered as they are listed, whatever their ids and
    /// addresses: those of a machine may change, its place must not.
    #[test]
    fn members_keep_their_places() {
        let member = |id, address: &str| Member { id: NodeId(id), role: Role::Active, address: address.into() };
        let listed = |addresses: [&str; 3]| {
            let members = [7, 3, 5].into_iter().zip(addresses).map(|(id, address)| member(id, address));
            let group = Configuration::new(EpochNumber::ZERO, members.collect()).unwrap();
            [0, 1, 2].map(|view| group.primary(ViewNumber(view)).0)
        };
        assert_eq!(listed(["10.0.0.9:1", "10.0.0.1:1", "10.0.0.5:1"]), [7, 3, 5]);
        assert_eq!(listed(["10.0.0.1:1", "10.0.0.5:1", "10.0.0.9:1"]), [7, 3, 5]);
    }

    #[test]
    fn duplicate_members_are_refused() {
        let member = |id, address: &str| Member { id: NodeId(id), role: Role::Active, address: address.into() };
        let epoch = EpochNumber::ZERO;
        assert_eq!(
            Configuration::new(epoch, vec![member(1, "a:1"), member(1, "b:1")]),
            Err(ConfigurationError::DuplicateId(NodeId(1)))
        );
        assert_eq!(
            Configuration::new(epoch, vec![member(1, "a:1"), member(2, "a:1")]),
            Err(ConfigurationError::DuplicateAddress("a:1".into()))
        );
        assert_eq!(Configuration::new(epoch, vec![]), Err(ConfigurationError::Empty));
    }
}
