//! The group: the real replicas, what survives their crashes, and the checkers that watch them.

use std::collections::VecDeque;
use std::rc::Rc;

use viewstamped_protocol::replica::Probe;
use viewstamped_protocol::{
    ClusterId, ClusterOptions, Configuration, Durability, EpochNumber, Event, Identity, Input, InstanceId, Member,
    NodeId, Now, Options, Output, Replica, Role, Service, Setup, StatusName, Time,
};

use crate::checkers::{Checked, Checkers, Replicas, Violation, hold};
use crate::observed::{Observed, Strings, UpCalls};

/// What is left of a replica's directory when it starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Restart {
    /// The identity that was last durable.
    Surviving,
    /// Nothing.
    Wiped,
    /// A fresh identity with this instance, as if the operator had formatted the directory again.
    Reformatted(InstanceId),
}

/// One machine: a replica while it is up, and what is durable.
struct Node<S> {
    id: NodeId,
    replica: Option<Replica<Observed<S>>>,
    calls: UpCalls,
    strings: Rc<Strings>,
    durable: Option<Identity>,
    /// Identities on their way to the disk, oldest first.
    saving: VecDeque<Identity>,
    boots: u32,
    /// Has crashed and has not been normal since.
    is_faulty: bool,
}

impl<S: Service + Clone> Replicas for Vec<Node<S>> {
    fn probe(&self, place: usize) -> Option<Probe<'_>> {
        self[place].replica.as_ref().map(Replica::probe)
    }
}

/// What a group is made from.
pub(crate) struct ClusterSetup<S> {
    pub(crate) cluster: ClusterId,
    pub(crate) cluster_options: ClusterOptions,
    /// The options of each member.
    pub(crate) options: Vec<Options>,
    pub(crate) service: S,
    /// Whether it does the same everywhere.
    pub(crate) is_deterministic: bool,
    /// The instances minted by `format`, one for each member.
    pub(crate) instances: Vec<InstanceId>,
}

/// A group of replicas r0, r1, ... in the order of the configuration.
pub(crate) struct Cluster<S> {
    cluster: ClusterId,
    configuration: Configuration,
    cluster_options: ClusterOptions,
    options: Vec<Options>,
    service: S,
    nodes: Vec<Node<S>>,
    checkers: Checkers,
    /// Whether all members have begun, so that an empty directory can no longer be a new one.
    is_founded: bool,
    recoveries: u64,
}

impl<S: Service + Clone> Cluster<S> {
    /// A newly formatted group; nobody has started.
    pub(crate) fn new(setup: ClusterSetup<S>) -> Self {
        let members = setup.options.len();
        let configuration = configuration(members);
        let nodes = configuration
            .ids()
            .zip(setup.instances)
            .map(|(id, instance)| Node {
                id,
                replica: None,
                calls: UpCalls::default(),
                strings: Rc::default(),
                durable: Some(Identity::formatted(instance)),
                saving: VecDeque::new(),
                boots: 0,
                is_faulty: false,
            })
            .collect();
        Self {
            cluster: setup.cluster,
            checkers: Checkers::new(&configuration, setup.options.clone(), setup.is_deterministic),
            configuration,
            cluster_options: setup.cluster_options,
            options: setup.options,
            service: setup.service,
            nodes,
            is_founded: false,
            recoveries: 0,
        }
    }

    /// Starts the replica at `place`, which is down.
    pub(crate) fn start(&mut self, place: usize, restart: Restart, seed: u128, now: Now) -> Checked {
        let node = &mut self.nodes[place];
        assert!(node.replica.is_none(), "{} is up already", node.id);
        match restart {
            Restart::Surviving => {}
            Restart::Wiped => node.durable = None,
            Restart::Reformatted(instance) => node.durable = Some(Identity::formatted(instance)),
        }
        node.boots += 1;
        (node.calls, node.strings) = (UpCalls::default(), Rc::default());
        let setup = Setup {
            cluster: self.cluster,
            id: node.id,
            configuration: self.configuration.clone(),
            cluster_options: self.cluster_options,
            options: self.options[place],
            identity: node.durable.clone(),
            durability: Durability::Replicated,
            surviving: None,
            seed,
        };
        let service = Observed::new(self.service.clone(), node.calls.clone(), node.strings.clone());
        node.replica = Some(Replica::new(setup, service, now));
        self.after_step(place)
    }

    /// Hands the replica at `place` one input and checks what it did.
    pub(crate) fn handle(&mut self, place: usize, now: Now, input: Input) -> Checked {
        if let Input::Message(message) = &input {
            self.checkers.receives(place, message);
        }
        if let Input::CheckpointTaken { op, service, client_table } = &input {
            self.checkers.hashed(self.nodes[place].id, *op, (*service, *client_table))?;
        }
        self.nodes[place].replica.as_mut().expect("only replicas that are up get inputs").handle(now, input);
        self.after_step(place)
    }

    /// Takes the next output of the replica at `place`, checked.
    pub(crate) fn output(&mut self, place: usize) -> Result<Option<Output>, Violation> {
        let node = &mut self.nodes[place];
        let Some(output) = node.replica.as_mut().and_then(Replica::poll_output) else { return Ok(None) };
        match &output {
            Output::Send { message, .. } => {
                let (id, sender) = (node.id, message.header.from);
                hold!("I-PRIMARY", sender == id, "{id} sends in the name of {sender}");
                self.checkers.sent(place, message, &self.nodes)?;
            }
            Output::Reply(message) => self.checkers.answered(message)?,
            Output::SaveIdentity(identity) => node.saving.push_back(identity.clone()),
            Output::Event(Event::CheckpointTaken { id }) => self.checkers.has_checkpoint(node.id, *id)?,
            Output::Event(Event::CheckpointInstalled { id, .. }) => {
                self.checkers.has_checkpoint(node.id, *id)?;
                self.checkers.installed(node.id, id.op, node.strings.restored.take())?;
            }
            Output::TakeCheckpoint(_)
            | Output::Event(_)
            | Output::Journal { .. }
            | Output::SaveCheckpoint { .. }
            | Output::ShutDown { .. } => {}
        }
        Ok(Some(output))
    }

    /// The oldest identity on its way to the disk of `place` arrives there. Returns whether it is the latest one.
    pub(crate) fn identity_saved(&mut self, place: usize) -> bool {
        let node = &mut self.nodes[place];
        let identity = node.saving.pop_front().expect("a save under way");
        node.durable = Some(identity);
        let begun = |node: &Node<S>| node.durable.as_ref().is_some_and(|identity| !identity.is_virgin());
        self.is_founded |= self.nodes.iter().all(begun);
        self.nodes[place].saving.is_empty()
    }

    /// Takes the memory of the replica at `place`. Of the identities on their way to the disk, this many oldest ones still arrive.
    pub(crate) fn crash(&mut self, place: usize, still_saved: usize) {
        let node = &mut self.nodes[place];
        assert!(node.replica.take().is_some(), "{} is down already", node.id);
        node.saving.truncate(still_saved);
        if let Some(last) = node.saving.drain(..).next_back() {
            node.durable = Some(last);
        }
        node.is_faulty = true;
        self.checkers.crashed(place);
    }

    fn after_step(&mut self, place: usize) -> Checked {
        let node = &self.nodes[place];
        let boot = node.boots;
        {
            let calls = node.calls.borrow();
            self.checkers.stepped(place, boot, &self.nodes, &calls)?;
        }
        self.check_sessions(place)?;
        let node = &mut self.nodes[place];
        node.calls.borrow_mut().clear();
        if node.is_faulty && self.checkers.seen(place).is_some_and(|seen| seen.status == StatusName::Normal) {
            node.is_faulty = false;
            self.recoveries += 1;
        }
        Ok(())
    }

    /// I-BOUND: there are no more sessions than allowed. Looked at when the replica has executed something.
    fn check_sessions(&self, place: usize) -> Checked {
        let node = &self.nodes[place];
        let (sessions_max, replica) = (u64::from(self.cluster_options.sessions_max), node.replica.as_ref());
        if !node.calls.borrow().is_empty() {
            let sessions = replica.map_or(0, |replica| replica.report().sessions);
            hold!("I-BOUND", sessions <= sessions_max, "{} keeps {sessions} sessions of {sessions_max}", node.id);
        }
        Ok(())
    }

    /// Dooms the service of the replica at `place`, which is up: at its next checkpoint another takes its place, with nothing but the
    /// state.
    pub(crate) fn doom_service(&mut self, place: usize) {
        self.nodes[place].strings.is_doomed.set(true);
    }

    /// Whether the service of the replica at `place` was dropped since this was asked last.
    pub(crate) fn was_service_dropped(&self, place: usize) -> bool {
        self.nodes[place].strings.was_dropped.take()
    }

    /// How many identities of `place` are on their way to the disk.
    pub(crate) fn saves_under_way(&self, place: usize) -> usize {
        self.nodes[place].saving.len()
    }

    /// When the replica at `place` wants to be woken, by its own clock.
    pub(crate) fn next_deadline(&self, place: usize) -> Option<Time> {
        self.nodes[place].replica.as_ref().and_then(Replica::next_deadline)
    }

    /// The inside of the replica at `place`, while it is up.
    pub(crate) fn probe(&self, place: usize) -> Option<Probe<'_>> {
        self.nodes.probe(place)
    }

    /// The replica at `place`, while it is up.
    pub(crate) fn replica(&self, place: usize) -> Option<&Replica<Observed<S>>> {
        self.nodes[place].replica.as_ref()
    }

    /// Whether the replica at `place` is up.
    pub(crate) fn is_up(&self, place: usize) -> bool {
        self.nodes[place].replica.is_some()
    }

    /// Whether the replica at `place` has crashed and has not been normal since.
    pub(crate) fn is_faulty(&self, place: usize) -> bool {
        self.nodes[place].is_faulty
    }

    /// How many crashed replicas have become normal again so far.
    pub(crate) fn recoveries(&self) -> u64 {
        self.recoveries
    }

    /// How often the replica at `place` has started.
    pub(crate) fn boots(&self, place: usize) -> u32 {
        self.nodes[place].boots
    }

    /// Whether all members have begun.
    pub(crate) fn is_founded(&self) -> bool {
        self.is_founded
    }

    /// The members.
    pub(crate) fn configuration(&self) -> &Configuration {
        &self.configuration
    }

    /// The name of the cluster.
    pub(crate) fn id(&self) -> ClusterId {
        self.cluster
    }

    /// The place of a member.
    pub(crate) fn place(&self, id: NodeId) -> usize {
        self.configuration.index_of(id).expect("replicas send to members")
    }

    /// The checkers with what they know.
    pub(crate) fn checkers(&self) -> &Checkers {
        &self.checkers
    }

    /// The place of a replica that is the normal primary of the latest view.
    pub(crate) fn primary(&self) -> Option<usize> {
        (0..self.nodes.len())
            .filter_map(|place| self.checkers.seen(place).map(|seen| (place, seen)))
            .filter(|(_, seen)| seen.status == StatusName::Normal && seen.leads)
            .max_by_key(|(_, seen)| seen.view)
            .map(|(place, _)| place)
    }
}

/// r0 to rN, in the order of their places.
pub(crate) fn configuration(members: usize) -> Configuration {
    let members = (0..members as u64)
        .map(|id| Member { id: NodeId(id), role: Role::Active, address: format!("r{id}") })
        .collect();
    Configuration::new(EpochNumber::ZERO, members).expect("distinct members")
}
