//! What a replica keeps on disk: its identity file, and the decision what a directory means at start.
//!
//! In the `replicated` mode that is all there is: a few hundred bytes, written when the replica is formatted, when it starts and
//! when its epoch changes, never while it serves. An empty directory always means a replica that has lost its memory, never a
//! new one: a cluster begins only by [`format()`].

pub mod backup;
pub mod boot;
pub mod directory;
mod frame;
pub mod identity_file;
pub mod io;
pub mod journal;
pub mod pages;

pub use boot::{BootError, Claim, Group, Start, decide};
pub use directory::{Directory, DirectoryError, Found, format};
pub use identity_file::{FileError, IdentityFile};
pub use viewstamped_protocol::{Durability, DurabilityError};
