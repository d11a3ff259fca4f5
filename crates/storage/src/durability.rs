//! The durability mode: what a commit waits for. A property of the whole cluster.

use std::fmt;
use std::str::FromStr;

/// What a commit waits for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Durability {
    /// The memory of a quorum, as in the paper (4). A replica that crashes recovers from the others.
    #[default]
    Replicated,
}

/// Why a name is no durability mode.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DurabilityError {
    /// It will be one.
    #[error(
        "durability `{0}` does not exist yet, because it needs the journal; use `replicated`, which keeps the state in the memory \
         of a quorum and rebuilds a crashed replica from the others"
    )]
    NotYet(String),
    /// It is none.
    #[error("there is no durability `{0}`; use `replicated`")]
    Unknown(String),
}

impl Durability {
    /// Its name in flags and status.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Replicated => "replicated",
        }
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
        match name {
            "replicated" => Ok(Self::Replicated),
            "background" | "synchronous" => Err(DurabilityError::NotYet(name.to_owned())),
            _ => Err(DurabilityError::Unknown(name.to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_that_do_not_exist_yet_are_refused_by_name() {
        assert_eq!("replicated".parse(), Ok(Durability::Replicated));
        for name in ["background", "synchronous"] {
            let error = name.parse::<Durability>().unwrap_err();
            assert_eq!(error, DurabilityError::NotYet(name.to_owned()));
            assert!(error.to_string().contains(name), "{error}");
        }
        assert_eq!("".parse::<Durability>(), Err(DurabilityError::Unknown(String::new())));
    }
}
