//! Whatever a peer sends, no replica panics: a message that contradicts itself, or that names numbers nobody ever reaches, is
//! ignored, and counted. Peers are trusted not to lie about what they hold, but their bytes may be anything.

use crate::common::{CLUSTER, Group, ms};
use viewstamped_protocol::crash_vector::CrashVector;
use viewstamped_protocol::log::{Entry, Request};
use viewstamped_protocol::message::*;
use viewstamped_protocol::*;

const NUMBERS: [u64; 6] = [0, 1, 2, u64::MAX / 2 - 1, u64::MAX - 1, u64::MAX];

fn entry(number: u64) -> Entry {
    let stamp = Viewstamp { ballot: Ballot::default(), op: OpNumber(number) };
    let request = Request::Register { client: ClientId(9), slots: u32::MAX };
    Entry::new(ChainHash(0), stamp, Timestamp(number), request)
}

/// One message of each kind, with `n` wherever a number goes.
fn messages(n: u64) -> Vec<Body> {
    let (op, view, hash, incarnation) = (OpNumber(n), ViewNumber(n), ChainHash(0), Incarnation(n));
    let entries = vec![entry(n)];
    let crash_vector: CrashVector = [(NodeId(0), incarnation), (NodeId(1), incarnation)].into_iter().collect();
    let head = entries[0].hash;
    let (previous, suffix, base) = (hash, entries.clone(), OpNumber(0));
    let do_view_change = |log_view| DoViewChange {
        log_view,
        op,
        commit: op,
        base,
        head,
        previous,
        suffix: suffix.clone(),
        crash_vector: crash_vector.clone(),
    };
    let votes = vec![Vote { node: NodeId(1), incarnation }, Vote { node: NodeId(2), incarnation }];
    let request =
        RequestId { client: ClientId(42), session: SessionNumber(n), slot: u32::MAX, number: RequestNumber(n) };
    let content = StateContent::Entries { after: op, previous, entries: entries.clone() };
    let primary = Some(PrimaryState { op, commit: op, head, base });
    let id = CheckpointId { op, root: CheckpointRoot([7; 32]) };
    let checkpoint = QuorumCheckpoint { held: op, agreed: id };
    vec![
        Body::Prepare(Prepare { previous, entries: entries.clone(), commit: op, checkpoint }),
        Body::Prepare(Prepare { previous, entries: Vec::new(), commit: op, checkpoint: QuorumCheckpoint::default() }),
        Body::PrepareOk(PrepareOk { op, head: ChainHash(0), checkpoint: id }),
        Body::StartViewPending(StartViewPending { op, of: op, parts: n }),
        Body::Commit(Commit { commit: op, op, sequence: n, sent_at: Time(n), checkpoint }),
        Body::CommitAck(CommitAck {
            sequence: n,
            sent_at: Time(n),
            op,
            head: ChainHash(0),
            executed: op,
            checkpoint: id,
        }),
        Body::StartViewChange(StartViewChange { candidate: view, votes, confirmed: false }),
        Body::StartViewChange(StartViewChange { candidate: view, votes: Vec::new(), confirmed: true }),
        Body::DoViewChange(Box::new(do_view_change(ViewNumber(0)))),
        Body::DoViewChange(Box::new(do_view_change(view))),
        Body::DoViewChange(Box::new(DoViewChange {
            suffix: Vec::new(),
            head: previous,
            ..do_view_change(ViewNumber(0))
        })),
        Body::StartView(Box::new(StartView { op, commit: op, base, head, previous, suffix: suffix.clone() })),
        Body::StartView(Box::new(StartView { op, commit: op, base, head: previous, previous, suffix: Vec::new() })),
        Body::GetState(GetState { target: view, from: op, head_op: op, head, bytes_max: u32::MAX }),
        Body::NewState(Box::new(NewState { content, op, commit: op })),
        Body::NewState(Box::new(NewState { content: StateContent::NeedCheckpoint(id), op, commit: op })),
        Body::GetLog(GetLog { log_view: view, first: op, last: op, bytes_max: 0 }),
        Body::LogChunk(LogChunk { log_view: view, content: StateContent::Entries { after: op, previous, entries } }),
        Body::Recovery(Recovery { nonce: Nonce(u128::from(n)), attempt: u32::MAX, op, view }),
        Body::RecoveryResponse(Box::new(RecoveryResponse { nonce: Nonce(u128::from(n)), crash_vector, primary })),
        Body::GetIncarnation(GetIncarnation { nonce: Nonce(0), attempt: u32::MAX }),
        Body::AlsoRecovering(AlsoRecovering { nonce: Nonce(0), attempt: u32::MAX, survivor: Survivor::default() }),
        Body::Revive(Revive { view, log_view: ViewNumber(0), op, head }),
        Body::ReviveOk(ReviveOk { view }),
        Body::KnownIncarnation(KnownIncarnation { nonce: Nonce(0), incarnation, founders: Vec::new() }),
        Body::StaleIncarnation(StaleIncarnation { node: NodeId(0), known: incarnation, nonce: Nonce(1) }),
        Body::Bootstrap(Bootstrap { instance: InstanceId(0), heard: Vec::new() }),
        Body::Founded(Founded { founders: Vec::new() }),
        Body::GetConfiguration,
        Body::ViewHint,
        Body::Predict(Box::new(Predict { request, payload: "draw".into() })),
        Body::PredictOk(Box::new(PredictOk { request, value: "r1.1".into() })),
    ]
}

/// The group with replica 0 in each of the statuses.
fn groups() -> Vec<Group> {
    let (mut serving, session) = Group::serving(3);
    serving.execute(0, session, 1, "a");
    let mut changing = serving.clone();
    changing.isolate(2);
    changing.cut_between(0, 1);
    changing.run_for(ms(500));
    changing.heal();
    changing.lose(|to, message| to != 0 && message.body.name() == "DOVIEWCHANGE");
    changing.run_for(ms(500));
    assert_eq!(changing.status(0), StatusName::ViewChange);
    let mut backup = serving.clone();
    backup.crash(0);
    backup.run_for(ms(1_000));
    backup.restart(0);
    let mut recovering = backup.clone();
    backup.run_for(ms(1_000));
    recovering.isolate(0);
    recovering.network.clear();
    assert_eq!(recovering.status(0), StatusName::Recovering);
    vec![Group::formatted(3), serving, changing, backup, recovering]
}

/// One absurd view in a VIEWHINT was remembered, and the next vote was for the view after it: 2^64. One absurd incarnation, one
/// absurd timestamp: the same.
#[test]
fn no_message_makes_a_replica_panic() {
    for group in groups() {
        for n in NUMBERS {
            for body in messages(n) {
                for (view, incarnation) in [(n, 9), (3, n), (1, 9)] {
                    let mut group = group.clone();
                    let header = Header {
                        cluster: CLUSTER,
                        epoch: EpochNumber::ZERO,
                        view: ViewNumber(view),
                        from: NodeId(1),
                        incarnation: Incarnation(incarnation),
                    };
                    group.input(0, Input::Message(Message { header, body: body.clone() }));
                    group.isolate(0);
                    group.run_for(ms(600));
                }
            }
        }
    }
}

/// r2 claims that more is committed than the winning log holds. r1 rightly refused to start the view, and then wanted to fetch
/// the winning log from itself.
#[test]
fn a_false_commit_number_in_a_do_view_change_starts_no_view() {
    let (mut group, session) = Group::serving(3);
    group.crash(0);
    group.run_for(ms(1_000));
    assert_eq!(group.execute(1, session, 1, "a"), "a");
    let body = DoViewChange {
        log_view: ViewNumber(0),
        op: OpNumber(100),
        commit: OpNumber(100),
        base: OpNumber(0),
        head: ChainHash(1),
        previous: ChainHash(1),
        suffix: Vec::new(),
        crash_vector: CrashVector::default(),
    };
    let header = Header {
        cluster: CLUSTER,
        epoch: EpochNumber::ZERO,
        view: ViewNumber(4),
        from: NodeId(2),
        incarnation: Incarnation(1),
    };
    group.isolate(1);
    group.input(1, Input::Message(Message { header, body: Body::DoViewChange(Box::new(body)) }));
    group.run_for(ms(1_000));
    assert_eq!((group.view(1), group.status(1)), (4, StatusName::ViewChange));
    group.heal();
    group.run_for(ms(3_000));
    let primary = group.primary();
    assert_eq!(group.execute(primary, session, 2, "b"), "ab", "a later view starts without the lie");
}

/// O2: a clock may be wrong by centuries, and then right again; the replicated clock goes on from where it was, for ever.
#[test]
fn the_wildest_wall_clock_stops_nobody() {
    let (mut group, session) = Group::serving(3);
    let right = group.now.wall;
    group.now.wall = Timestamp(u64::MAX);
    assert_eq!(group.execute(0, session, 1, "a"), "a");
    assert_eq!(group.execute(0, session, 2, "b"), "ab");
    group.now.wall = right;
    group.crash(0);
    group.run_for(ms(1_000));
    assert_eq!(group.execute(1, session, 3, "c"), "abc");
    let timestamps: Vec<_> =
        group.replica(1).probe().log.iter_above(OpNumber(0)).map(|entry| entry.timestamp).collect();
    assert!(timestamps.is_sorted_by(|earlier, later| earlier < later), "{timestamps:?}");
}
