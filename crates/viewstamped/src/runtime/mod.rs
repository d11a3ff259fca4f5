//! One replica on one thread: its sockets, its timer, its turn.

mod accepted;
mod clients;
pub(crate) mod clock;
pub(crate) mod control;
mod files;
pub(crate) mod frames;
mod hashing;
mod inbox;
mod learning;
mod link;
mod listener;
mod outlet;
mod problems;
mod reporter;
pub(crate) mod reports;
pub(crate) mod send_queue;
mod shared;
pub(crate) mod socket;
pub(crate) mod thread;
mod turn;
mod unfinished;

/// 128 random bits from the operating system.
pub(crate) fn random_bits() -> Result<u128, String> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|error| error.to_string())?;
    Ok(u128::from_le_bytes(bytes))
}
