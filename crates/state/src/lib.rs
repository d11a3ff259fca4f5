//! The replicated state of a service: an ordered map of bytes to bytes.

/// An ordered map of bytes to bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct State {}
