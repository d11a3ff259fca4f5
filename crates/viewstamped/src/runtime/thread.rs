//! The replica's thread: from the boot decision to the last turn.

use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use bytes::BytesMut;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::{LocalSet, spawn_local};
use viewstamped_protocol::codec::{Limits, Purpose};
use viewstamped_protocol::service::panic_message;
use viewstamped_protocol::{Incarnation, Replica, Service, Setup};
use viewstamped_storage::journal::Owner;

use super::clients::Clients;
use super::clock::Clock;
use super::control::Control;
use super::files;
use super::hashing::Hashing;
use super::inbox::Inbox;
use super::learning;
use super::link::{self, Link};
use super::listener::{self, Port};
use super::reporter::Reporter;
use super::reports::Reports;
use super::shared::Shared;
use super::turn::Turn;
use crate::boot::{Boot, Group, Membership, Store};
use crate::config::TransportOptions;
use crate::disk::{self, Disk, StorageOptions};
use crate::error::NodeError;
use crate::memory::MemoryBudget;
use crate::status::{MemberStatus, NodeStatus};

/// What the replica's thread is given.
pub(crate) struct Start {
    pub(crate) boot: Boot,
    pub(crate) options: viewstamped_protocol::Options,
    pub(crate) transport: TransportOptions,
    pub(crate) storage: StorageOptions,
    pub(crate) client_listener: std::net::TcpListener,
    /// `None` while the peer address is not known.
    pub(crate) peer_listener: Option<std::net::TcpListener>,
    pub(crate) control: Arc<Control>,
    pub(crate) status: watch::Sender<NodeStatus>,
    pub(crate) seed: u128,
}

/// Runs the replica until it is stopped or must not go on. Everything it owned is free again when this returns.
pub(crate) fn run<S: Service + 'static>(start: Start, service: S) -> Result<(), NodeError> {
    let end = catch_unwind(AssertUnwindSafe(|| {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .enable_time()
            .build()
            .map_err(|error| NodeError::System { message: format!("cannot start an event loop: {error}") })?;
        let tasks = LocalSet::new();
        // The turn is a task beside those that read: whoever wakes it then only puts it in the queue that is being worked on. Were it
        // the future that the event loop waits for, each wake-up would ask the operating system for events once more.
        let turn = tasks.spawn_local(live(start, service));
        match runtime.block_on(tasks.run_until(turn)) {
            Ok(end) => end,
            Err(failed) if failed.is_panic() => resume_unwind(failed.into_panic()),
            Err(_) => Ok(()),
        }
    }));
    let end = end.unwrap_or_else(|panic| Err(NodeError::Panicked { message: panic_message(&*panic) }));
    if let Err(error) = &end {
        tracing::error!(%error, "replica stopped");
    }
    end
}

async fn live<S: Service + 'static>(start: Start, service: S) -> Result<(), NodeError> {
    let Start { boot, options, transport, storage, client_listener, peer_listener, control, status, seed } = start;
    let Boot { cluster, id, identity, membership, directory, listen_peer } = boot;
    let started = Instant::now();
    let client_listener = adopt(client_listener)?;
    // Of the same random bits as the core's seed, but not what the core makes of them.
    let process = (seed >> 64) as u64 ^ seed as u64;
    let group = match membership {
        Membership::Known(group) => group,
        Membership::Unknown { peers } => {
            let learner = learning::Learner { cluster, id, process, peers, transport };
            match learning::learn(learner, &client_listener, &control, &status).await {
                Some(group) => group,
                None => return Ok(()),
            }
        }
    };
    let member = group.member(id).map_err(|message| NodeError::Configuration { message })?;
    let peer_listener = match peer_listener {
        Some(listener) => adopt(listener)?,
        None => listen(listen_peer.as_ref().unwrap_or(&member.address)).await?,
    };
    warn_if_even(&group);
    let store = Store::new(directory, cluster, id, group.clone());
    // Before anything is sent or answered.
    let mut found = match &identity {
        Some(identity) => disk::open(store.path(), &store.file(identity), &storage)?,
        None => disk::Start::default(),
    };
    let links = links(&group, id);
    let transport = fitted(transport, &group, links.len());
    let memory = MemoryBudget::of(&options, &transport, &storage, &group.options, group.configuration.len());
    tracing::info!("with these options the replica takes {memory}, and the state of its service on top");
    status.send_modify(|status| {
        status.memory_max_bytes = memory.total() as u64;
        status.durability = group.durability.to_string();
        status.peer_address = address_of(&peer_listener);
        status.members = group.members_status();
    });

    let shared = Rc::new(Shared {
        cluster,
        id,
        process,
        incarnation: Cell::new(identity.as_ref().map_or(Incarnation::ZERO, |identity| identity.incarnation)),
        links,
        peer_limits: Limits::for_peers(group.options.operation_bytes_max),
        client_limits: Limits::for_clients(group.options.operation_bytes_max),
        configuration: group.configuration.clone(),
        durability: group.durability,
        from_peers: Inbox::new(transport.peer_inbox_bytes_max),
        from_clients: Inbox::new(transport.client_inbox_bytes_max),
        refused: RefCell::default(),
        control: Arc::clone(&control),
        accepted: RefCell::default(),
        clients: RefCell::new(Clients::new(transport)),
        problems: RefCell::default(),
        has_new_problem: Cell::new(false),
        transport,
    });
    for index in 0..shared.links.len() {
        spawn_local(link::keep_connected(Rc::clone(&shared), index, seed.wrapping_add(1 + index as u128)));
    }
    spawn_local(listener::accept(Rc::clone(&shared), peer_listener, Port::Peers));
    spawn_local(listener::accept(Rc::clone(&shared), client_listener, Port::Clients));

    let clock = Clock::start();
    let (configuration, cluster_options) = (group.configuration.clone(), group.options);
    let setup = Setup {
        cluster,
        id,
        configuration,
        cluster_options,
        options,
        identity,
        durability: group.durability,
        surviving: found.surviving.take(),
        seed,
    };
    let saved = found.newest.op;
    let owner = Owner { cluster, node: id };
    let reports = Arc::new(Reports::new(Arc::clone(&control)));
    let disk = Disk::new(store.path(), owner, group.durability, storage, found, Arc::clone(&reports));
    let turn = Turn {
        hashing: Hashing::new(Arc::clone(&reports)),
        reports,
        replica: Replica::new(setup, service, clock.now()),
        reporter: Reporter::new(status, started, shared.transport.status_interval, saved),
        shared,
        store,
        disk,
        last_record: None,
        clock,
        scratch: BytesMut::new(),
    };
    turn.run(control).await
}

/// The limits as they fit the group and this process: a frame of the largest size always has room, and peers have files.
fn fitted(transport: TransportOptions, group: &Group, links: usize) -> TransportOptions {
    let frame_bytes_max = Limits::for_clients(group.options.operation_bytes_max).frame_bytes_max;
    TransportOptions {
        client_unfinished_bytes_max: transport.client_unfinished_bytes_max.max(frame_bytes_max),
        client_connections_max: files::client_connections_max(&transport, links),
        ..transport
    }
}

fn adopt(listener: std::net::TcpListener) -> Result<TcpListener, NodeError> {
    TcpListener::from_std(listener).map_err(|error| NodeError::Listen { message: error.to_string() })
}

async fn listen(address: &str) -> Result<TcpListener, NodeError> {
    TcpListener::bind(address)
        .await
        .map_err(|error| NodeError::Listen { message: format!("cannot listen on its address {address}: {error}") })
}

fn address_of(listener: &TcpListener) -> String {
    listener.local_addr().map_or_else(|_| String::new(), |address| address.to_string())
}

/// Two connections to every peer.
fn links(group: &Group, id: viewstamped_protocol::NodeId) -> Vec<Link> {
    let peers = group.configuration.members().iter().filter(|member| member.id != id);
    peers
        .flat_map(|peer| {
            [Purpose::Replica, Purpose::Bulk].map(|purpose| Link::new(peer.id, purpose, peer.address.clone()))
        })
        .collect()
}

fn warn_if_even(group: &Group) {
    let configuration = &group.configuration;
    if configuration.is_even() {
        tracing::warn!(
            "a group of {} replicas tolerates {} failures, no more than one of {}; remove one replica or add one",
            configuration.len(),
            configuration.threshold(),
            configuration.len() - 1,
        );
    }
}

impl Group {
    /// The members for the status, none of them connected yet.
    fn members_status(&self) -> Vec<MemberStatus> {
        let members = self.configuration.members().iter();
        members
            .map(|member| MemberStatus { id: member.id.0, address: member.address.clone(), connected: false })
            .collect()
    }
}
