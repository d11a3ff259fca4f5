//! Viewstamped Replication Revisited (Liskov & Cowling, 2012) as sans-IO state machines.
//!
//! A [`Replica`] is driven by three calls: [`Replica::handle`] takes one [`Input`], [`Replica::poll_output`] is drained after it
//! (or after a batch of inputs: what arrives together is prepared together, 6.2), and [`Replica::next_deadline`] says when to
//! come back with [`Input::Tick`]. Outputs may be performed in any order, or lost, but for
//! [`Output::SaveIdentity`] and [`Output::Journal`].
//!
//! A group of one, driven by hand:
//!
//! ```
//! use bytes::Bytes;
//! use viewstamped_protocol::message::{ClientReply, ClientRequest};
//! use viewstamped_protocol::*;
//! use viewstamped_state::State;
//!
//! struct Counter;
//!
//! impl Service for Counter {
//!     fn execute(&mut self, state: &mut State, operation: Operation<'_>) -> Bytes {
//!         let count = state.get(b"count").map_or(0, |count| count[0]) + 1;
//!         state.insert(Bytes::from_static(b"count"), vec![count]);
//!         Bytes::from(vec![count])
//!     }
//! }
//!
//! let member = Member { id: NodeId(0), role: Role::Active, address: "localhost:2380".into() };
//! let setup = Setup {
//!     cluster: ClusterId(1),
//!     id: NodeId(0),
//!     configuration: Configuration::new(EpochNumber::ZERO, vec![member])?,
//!     cluster_options: ClusterOptions::default(),
//!     options: Options::default(),
//!     identity: Some(Identity::formatted(InstanceId(99))),
//!     durability: Durability::Replicated,
//!     surviving: None,
//!     seed: 42,
//! };
//! let now = Now::default();
//! let mut replica = Replica::new(setup, Counter, now);
//! let mut inputs: Vec<Input> = Vec::new();
//! let mut ask = |body| inputs.push(Input::Client(FromClient { cluster: ClusterId(1), epoch: EpochNumber::ZERO, client: ClientId(5), body }));
//! ask(ClientRequest::Register { slots: 1 });
//! ask(ClientRequest::Operation {
//!     session: SessionNumber(1),
//!     slot: 0,
//!     number: RequestNumber(1),
//!     payload: Bytes::from_static(b"add"),
//! });
//! let mut replies = Vec::new();
//! inputs.reverse();
//! loop {
//!     while let Some(output) = replica.poll_output() {
//!         match output {
//!             Output::SaveIdentity(_) => inputs.push(Input::IdentitySaved), // after writing it to disk
//!             Output::Reply(reply) => replies.push(reply.body),
//!             Output::Send { .. } => unreachable!("there are no others"),
//!             Output::TakeCheckpoint(checkpoint) => inputs.push(checkpoint.taken()), // better on another thread
//!             Output::Event(_) => {}
//!             Output::Journal { .. } | Output::SaveCheckpoint { .. } | Output::ShutDown { .. } => {
//!                 unreachable!("nothing is journaled in this mode")
//!             }
//!         }
//!     }
//!     match inputs.pop() {
//!         Some(input) => replica.handle(now, input),
//!         None => break, // a real loop waits for messages, and for `replica.next_deadline()`
//!     }
//! }
//! assert!(matches!(replies.last(), Some(ClientReply::Reply { result, .. }) if result[..] == [1]));
//! # Ok::<(), ConfigurationError>(())
//! ```

pub mod checkpoint;
pub mod client;
pub mod client_table;
pub mod codec;
pub mod configuration;
pub mod crash_vector;
pub mod durability;
pub mod identity;
mod in_flight;
pub mod journal;
pub mod log;
pub mod message;
pub mod numbers;
pub mod options;
pub mod random;
pub mod replica;
pub mod self_paging;
pub mod service;

pub use checkpoint::{Checkpoint, CheckpointHeader, CheckpointId, CheckpointRoot};
pub use configuration::{Configuration, ConfigurationError, Member, Role};
pub use durability::{Durability, DurabilityError};
pub use identity::Identity;
pub use journal::{Rebase, Record, ReplayError, Surviving};
pub use message::{FromClient, Message, ToClient};
pub use numbers::*;
pub use options::{ClientOptions, ClusterOptions, Options};
pub use replica::{Destination, Event, Ignored, Input, Output, Replica, Report, Setup, StatusName, TakeCheckpoint};
pub use self_paging::{PageSet, PageSetMut, PagedService, SelfPaging};
pub use service::{Contributions, Operation, PREDICTED_BYTES_MAX, Service};
