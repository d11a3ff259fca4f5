//! What a replica keeps on disk: its identity file, its journal, the clean marker; and the decision what a directory means at start.
//!
//! In the `replicated` mode the identity file is all there is while a replica serves: a few hundred bytes, written when it is
//! formatted, when it starts and when its epoch changes. An empty directory always means a replica that has lost its memory, never a
//! new one: a cluster begins only by [`format()`]. And any doubt about what is there means the same for what is in doubt: [`trust()`].

pub mod backup;
pub mod boot;
pub mod clean;
pub mod directory;
mod frame;
pub mod identity_file;
pub mod io;
pub mod journal;
pub mod pages;
pub mod trust;

pub use boot::{BootError, Claim, Group, Start, decide};
pub use clean::{CleanMarker, FoundMarker};
pub use directory::{Directory, DirectoryError, Found, format};
pub use identity_file::{FileError, IdentityFile};
pub use trust::{FoundCheckpoint, Lack, Remains, Trust, trust};
pub use viewstamped_protocol::{Durability, DurabilityError};
