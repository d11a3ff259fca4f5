//! One schedule for each way in which the paper, read literally, fails; named as in docs/deviations.md, which tells each at length.
//! The notation is explained in script/mod.rs.

mod checkpoints;
mod logs;
mod normal_operation;
mod predictions;
mod state_transfer;
mod view_changes;
