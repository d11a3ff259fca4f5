//! The durability mode: what an acknowledgement waits for, and so what survives when all members fail at once.
//!
//! A property of the whole cluster, chosen when it is formatted.

use std::fmt;
use std::str::FromStr;

/// What an acknowledgement waits for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Durability {
    /// The memory of a quorum, as in the paper (4). Nothing but the identity is written while a replica serves; a replica that
    /// crashes recovers everything from the others. When more than f members lose their memory at once, by a power cut for
    /// example, the group has lost its state. A clean shutdown writes everything, and so loses nothing.
    Replicated,
    /// The memory of a quorum, too; but journal and checkpoints are written behind. A replica that crashes trusts what is certain
    /// of its disk and fetches only the rest. When all members lose their memory at once, an operator can begin again with what
    /// reached the disks: the operations of the last moments may be lost.
    #[default]
    Background,
    /// The disks of a quorum. Nothing is acknowledged, promised or answered before it is durable, so that a power cut of all
    /// members loses nothing, and the group goes on by itself.
    Synchronous,
}

/// A name that stands for no durability mode.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no durability `{0}`; use `replicated`, `background` or `synchronous`")]
pub struct DurabilityError(pub String);

impl Durability {
    /// All modes, the one that waits for least first.
    pub const ALL: [Self; 3] = [Self::Replicated, Self::Background, Self::Synchronous];

    /// Its name in flags and status.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Replicated => "replicated",
            Self::Background => "background",
            Self::Synchronous => "synchronous",
        }
    }

    /// Whether a replica writes a journal while it serves.
    #[must_use]
    pub fn has_journal(self) -> bool {
        self != Self::Replicated
    }
}

impl fmt::Display for Durability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Durability {
    type Err = DurabilityError;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let named = Self::ALL.into_iter().find(|durability| durability.as_str() == name);
        named.ok_or_else(|| DurabilityError(name.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mode_is_found_by_its_name_and_nothing_else_is() {
        for durability in Durability::ALL {
            assert_eq!(durability.to_string().parse(), Ok(durability));
        }
        for name in ["", "fast", "Synchronous"] {
            let error = name.parse::<Durability>().unwrap_err();
            assert!(error.to_string().contains(&format!("`{name}`")), "{error}");
        }
    }
}
