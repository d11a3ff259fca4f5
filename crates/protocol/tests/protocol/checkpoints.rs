//! Checkpoints (5.1): when they are taken, what is cut off the log, and how a replica that lacks it gets the state. The schedules of the
//! catalogue are in schedules/checkpoints.rs.

use crate::common::{CLIENT, Group, ms};
use viewstamped_protocol::message::{Body, ClientReply, ClientRequest, GetPages, NewRoot, Part};
use viewstamped_protocol::*;

/// A checkpoint every four operations, in small pages.
const OPTIONS: ClusterOptions = ClusterOptions {
    sessions_max: 4,
    slots_max: 8,
    reply_bytes_max: 1_000,
    operation_bytes_max: 1_000,
    slots_total_max: 32,
    small_reply_bytes_max: 256,
    large_replies_bytes_max: 8_000,
    result_bytes_max: 9_000,
    checkpoint_ops: 4,
    checkpoint_bytes: 1 << 20,
    page_bytes: 512,
    lease_max_ms: 0,
    recover_automatically: 0,
};

/// A group that serves, with a session; and how many requests it has had.
struct Service {
    group: Group,
    session: SessionNumber,
    number: u64,
}

impl Service {
    fn new(size: u64, options: ClusterOptions) -> Self {
        let mut group = Group::formatted_with(size, options);
        group.run_for(ms(300));
        let session = group.register(0);
        Self { group, session, number: 0 }
    }

    fn execute(&mut self, primary: u64, payload: &'static str) -> String {
        self.number += 1;
        self.group.execute(primary, self.session, self.number, payload)
    }

    /// As many operations at this primary, and then heartbeats, so that everybody knows what a quorum has.
    fn work(&mut self, primary: u64, count: u64) {
        for _ in 0..count {
            self.execute(primary, "x");
        }
        self.group.run_for(ms(120));
    }

    /// Who leads the latest view.
    fn leader(&self) -> u64 {
        let reports = self.group.replicas.values().map(Replica::report);
        let leading = reports.filter(|report| report.status == StatusName::Normal && report.primary == report.id);
        leading.max_by_key(|report| report.view).expect("somebody leads").id.0
    }

    fn report(&self, id: u64) -> Report {
        self.group.replica(id).report()
    }

    fn events(&self, id: u64) -> impl Iterator<Item = &Event> {
        self.group.events.iter().filter(move |(from, _)| *from == NodeId(id)).map(|(_, event)| event)
    }
}

/// 5.1: "Every O operations the replication code makes an upcall to the application, requesting it to take a checkpoint".
#[test]
fn all_replicas_take_the_same_checkpoints() {
    let mut service = Service::new(3, OPTIONS);
    service.work(0, 10);
    let ids: Vec<CheckpointId> = (0..3).map(|id| service.report(id).checkpoint).collect();
    assert_eq!(ids[0].op, OpNumber(8), "the REGISTER is operation 1");
    assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    assert_eq!(service.report(2).quorum_checkpoint.agreed, ids[0], "a backup knows what a quorum has");
}

/// T7: 5.1, "Keeping a larger log than the minimum is a good idea": two checkpoints of it.
#[test]
fn the_log_is_cut_to_the_older_of_two_checkpoints() {
    let mut service = Service::new(3, OPTIONS);
    service.work(0, 6);
    assert_eq!(service.report(0).log_base, OpNumber(0), "one checkpoint at 4");
    service.work(0, 40);
    for id in 0..3 {
        let report = service.report(id);
        assert_eq!((report.op, report.log_base), (OpNumber(47), OpNumber(40)), "checkpoints at 40 and 44");
    }
}

/// Large operations reach `checkpoint_bytes` long before `checkpoint_ops`: without it the log would be full, and no checkpoint due.
#[test]
fn a_checkpoint_is_due_after_so_many_bytes_as_well() {
    let mut service = Service::new(3, ClusterOptions { checkpoint_ops: 1_000, checkpoint_bytes: 1_000, ..OPTIONS });
    service.work(0, 30);
    let report = service.report(0);
    assert!(report.checkpoint.op > OpNumber(20), "each operation counts some 193 bytes: {report:?}");
    assert!(report.log_base > OpNumber(15), "{report:?}");
}

#[test]
fn a_checkpoint_is_taken_when_an_operator_asks_for_it() {
    let mut service = Service::new(3, ClusterOptions { checkpoint_ops: 1_000, ..OPTIONS });
    service.work(0, 2);
    service.group.replies.clear();
    service.group.request(0, ClientRequest::TakeCheckpoint);
    service.group.run_for(ms(120));
    let reply = service.group.replies.iter().find(|reply| reply.client == CLIENT).map(|reply| reply.body.clone());
    assert_eq!(reply, Some(ClientReply::CheckpointTaken { op: OpNumber(4) }));
    assert!((0..3).all(|id| service.report(id).checkpoint.op == OpNumber(4)), "at every replica");
}

/// 5.2: "the slow replica first brings itself almost up to date using application state (like a recovering node would do) to get to
/// a recent checkpoint, and then completes the job by obtaining the log forward from the point".
#[test]
fn a_replica_that_was_away_fetches_a_checkpoint_and_the_log_above_it() {
    let mut service = Service::new(3, OPTIONS);
    service.work(0, 6);
    service.group.isolate(2);
    service.work(0, 40);
    service.group.heal();
    service.group.run_for(ms(500));
    let (away, primary) = (service.report(2), service.report(0));
    assert_eq!((away.status, away.executed), (StatusName::Normal, primary.executed));
    assert_eq!(service.group.replica(2).state().root(), service.group.replica(0).state().root());
    assert!(service.events(2).any(|event| matches!(event, Event::CheckpointInstalled { is_repair: false, .. })));
    let asked_primary = service.group.replica(0).ignored().next();
    assert_eq!(asked_primary, None, "the primary is asked for nothing it must refuse");
}

/// 5.1: "When a node recovers, it first obtains the application state from another replica."
#[test]
fn a_wiped_replica_recovers_from_a_checkpoint() {
    let mut service = Service::new(3, OPTIONS);
    service.work(0, 40);
    service.group.crash(1);
    service.group.restart_wiped(1);
    service.group.run_for(ms(800));
    let (wiped, primary) = (service.report(1), service.report(0));
    assert_eq!((wiped.status, wiped.executed), (StatusName::Normal, primary.executed));
    assert_eq!(service.group.replica(1).state().root(), service.group.replica(0).state().root());
    assert!(wiped.log_base >= OpNumber(36), "what is in the checkpoint is not in its log: {wiped:?}");
}

/// 5.3: "it might even need to first use application state to bring itself up to date": a new primary that lacks what the winner has
/// cut off.
#[test]
fn a_new_primary_fetches_the_checkpoint_that_the_best_log_stands_on() {
    let options = Options { forfeit_ops: 1_000, ..Options::default() };
    let mut service = Service::new(3, OPTIONS);
    service.group.options = options;
    service.group.isolate(1);
    service.work(0, 40);
    service.group.heal();
    service.group.isolate(0);
    service.group.lose(|_, message| matches!(message.body, Body::NewState(_)));
    service.group.run_for(ms(5_000));
    let head = service.report(2).executed;
    assert!(head >= OpNumber(41), "{head}");
    let serving = service.leader();
    service.number += 1;
    service.group.execute(serving, service.session, service.number, "y");
    service.group.run_for(ms(120));
    assert_eq!(service.group.replica(1).state().root(), service.group.replica(2).state().root());
}

/// T9. r2 knows that its state is wrong, and cannot repair it yet. One that fetched the wrong state from it would agree with it, and of
/// three replicas two are a quorum.
#[test]
fn a_divergent_replica_gives_its_state_to_nobody() {
    let mut service = Service::new(3, OPTIONS);
    service.group.lose(|to, message| to == 2 && matches!(message.body, Body::Pages(_)));
    service.execute(0, "stray 2");
    service.work(0, 6);
    let report = service.report(2);
    assert!(report.is_divergent && report.checkpoint.op > OpNumber(0), "{report:?}");
    let question = GetPages { number: 7, checkpoint: report.checkpoint, parts: vec![Part::Header], bytes_max: 1_000 };
    let message = Message { header: service.group.header(1), body: Body::GetPages(Box::new(question)) };
    service.group.input(2, Input::Message(message));
    let answers: Vec<&Body> = service.group.network.iter().map(|(_, message)| &message.body).collect();
    let nothing = NewRoot { number: 7, checkpoint: CheckpointId::default() };
    assert!(answers.contains(&&Body::NewRoot(nothing)), "{answers:?}");
}

/// A divergent replica executes nothing until it is repaired, and what was committed meanwhile waits. It asked to be woken at once for
/// that, again and again: a whole core, for as long as nobody had the checkpoint it needs.
#[test]
fn a_divergent_replica_is_not_woken_for_what_it_must_not_execute() {
    let mut service = Service::new(3, OPTIONS);
    service.group.lose(|to, message| to == 2 && matches!(message.body, Body::Pages(_)));
    service.execute(0, "stray 2");
    service.work(0, 6);
    let report = service.report(2);
    assert!(report.is_divergent && report.executed < report.commit, "{report:?}");
    let deadline = service.group.replica(2).next_deadline().expect("it asks for pages again");
    assert!(deadline > service.group.now.monotonic, "{deadline:?}");
}
