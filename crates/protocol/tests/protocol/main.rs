//! The protocol's tests against real replicas: one binary, so that it is linked once.

mod common;
mod script;

mod bootstrap;
mod broken_peers;
mod checkpoints;
mod client;
mod durability;
mod everywhere;
mod first_light;
mod incarnations;
mod model_traces;
mod normal_operation;
mod paper;
mod partitions;
mod prediction;
mod recovery;
mod schedules;
mod sessions;
mod stability;
mod state_transfer;
mod view_changes;
