//! Crash vectors: which incarnation of each member is known, so that promises a crash erased are never counted.
//!
//! The paper's recovery (4.3, 8.2) is unsafe without them: a crash forgets a DOVIEWCHANGE that is still in flight.
//! docs/deviations.md, C1.

use std::fmt;

use crate::numbers::{Incarnation, NodeId};

/// The highest incarnation known of each node, by node; 0 for a node never heard of.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct CrashVector(Vec<(NodeId, Incarnation)>);

impl CrashVector {
    /// The highest incarnation known of `node`.
    #[must_use]
    pub fn known(&self, node: NodeId) -> Incarnation {
        self.0.iter().find(|(known, _)| *known == node).map_or(Incarnation::ZERO, |(_, incarnation)| *incarnation)
    }

    /// Notes that `node` has reached `incarnation`; never goes backwards.
    pub fn raise(&mut self, node: NodeId, incarnation: Incarnation) {
        match self.0.binary_search_by_key(&node, |(known, _)| *known) {
            Ok(place) => self.0[place].1 = self.0[place].1.max(incarnation),
            Err(place) => self.0.insert(place, (node, incarnation)),
        }
    }

    /// Takes the larger incarnation of each node.
    pub fn merge(&mut self, other: &Self) {
        for (node, incarnation) in &other.0 {
            self.raise(*node, *incarnation);
        }
    }

    /// All nodes known, in order.
    pub fn iter(&self) -> impl Iterator<Item = (NodeId, Incarnation)> + '_ {
        self.0.iter().copied()
    }

    /// How many nodes are known.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether no node is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromIterator<(NodeId, Incarnation)> for CrashVector {
    fn from_iter<T: IntoIterator<Item = (NodeId, Incarnation)>>(pairs: T) -> Self {
        let mut vector = Self::default();
        for (node, incarnation) in pairs {
            vector.raise(node, incarnation);
        }
        vector
    }
}

impl fmt::Display for CrashVector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cv=[")?;
        for (place, (_, incarnation)) in self.0.iter().enumerate() {
            write!(f, "{}{}", if place == 0 { "" } else { " " }, incarnation.0)?;
        }
        write!(f, "]")
    }
}
