//! Viewstamped Replication Revisited (Liskov & Cowling, 2012) as sans-IO state machines.
//!
//! A [`Replica`] is driven by three calls: [`Replica::handle`] takes one [`Input`], [`Replica::poll_output`] is drained after it
//! (or after a batch of inputs: what arrives together is prepared together, 6.2), and [`Replica::next_deadline`] says when to
//! come back with [`Input::Tick`].

pub mod client;
pub mod client_table;
pub mod codec;
pub mod configuration;
pub mod crash_vector;
pub mod identity;
pub mod log;
pub mod message;
pub mod numbers;
pub mod options;
pub mod random;
pub mod replica;
pub mod service;

pub use configuration::{Configuration, ConfigurationError, Member, Role};
pub use identity::Identity;
pub use message::{FromClient, Message, ToClient};
pub use numbers::*;
pub use options::{ClientOptions, ClusterOptions, Options};
pub use replica::{Destination, Event, Ignored, Input, Output, Replica, Report, Setup, StatusName};
pub use service::{Operation, Service};
