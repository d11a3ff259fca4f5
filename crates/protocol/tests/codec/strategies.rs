//! Arbitrary frames of every kind, within the limits of the format.

use bytes::Bytes;
use proptest::collection::{btree_map, btree_set, vec};
use proptest::option;
use proptest::prelude::*;
use viewstamped_protocol::codec::{ForceRecover, Frame, Hello, NUMBER_MAX, Purpose};
use viewstamped_protocol::configuration::MEMBERS_MAX;
use viewstamped_protocol::crash_vector::CrashVector;
use viewstamped_protocol::log::{Entry, Request};
use viewstamped_protocol::message::*;
use viewstamped_protocol::*;
use viewstamped_state::Place;

fn number() -> impl Strategy<Value = u64> + Clone {
    prop_oneof![0..1000u64, 0..=NUMBER_MAX, Just(NUMBER_MAX)]
}

fn node() -> impl Strategy<Value = NodeId> {
    prop_oneof![0..7u64, any::<u64>()].prop_map(NodeId)
}

fn bytes() -> impl Strategy<Value = Bytes> {
    vec(any::<u8>(), 0..40).prop_map(Bytes::from)
}

fn incarnation() -> impl Strategy<Value = Incarnation> {
    number().prop_map(Incarnation)
}

fn op() -> impl Strategy<Value = OpNumber> {
    number().prop_map(OpNumber)
}

fn view() -> impl Strategy<Value = ViewNumber> {
    number().prop_map(ViewNumber)
}

fn session() -> impl Strategy<Value = SessionNumber> {
    number().prop_map(SessionNumber)
}

fn request_number() -> impl Strategy<Value = RequestNumber> {
    number().prop_map(RequestNumber)
}

fn hash() -> impl Strategy<Value = ChainHash> {
    any::<u128>().prop_map(ChainHash)
}

fn nonce() -> impl Strategy<Value = Nonce> {
    any::<u128>().prop_map(Nonce)
}

fn client() -> impl Strategy<Value = ClientId> {
    any::<u128>().prop_map(ClientId)
}

fn cluster() -> impl Strategy<Value = ClusterId> {
    any::<u128>().prop_map(ClusterId)
}

fn header() -> impl Strategy<Value = Header> {
    (cluster(), number(), view(), node(), incarnation()).prop_map(|(cluster, epoch, view, from, incarnation)| Header {
        cluster,
        epoch: EpochNumber(epoch),
        view,
        from,
        incarnation,
    })
}

fn request() -> impl Strategy<Value = Request> {
    prop_oneof![
        4 => (client(), session(), any::<u32>(), request_number(), bytes(), bytes()).prop_map(
            |(client, session, slot, number, predicted, payload)| Request::Operation {
                client, session, slot, number, predicted, payload,
            }
        ),
        1 => (client(), any::<u32>()).prop_map(|(client, slots)| Request::Register { client, slots }),
        1 => (client(), session(), nonce())
            .prop_map(|(client, session, nonce)| Request::Resume { client, session, nonce }),
        1 => client().prop_map(|client| Request::Checkpoint { client }),
    ]
}

/// A contiguous run: the op-number and chain hash below it, and its entries.
#[derive(Clone, Debug)]
struct Run {
    after: OpNumber,
    previous: ChainHash,
    entries: Vec<Entry>,
}

impl Run {
    fn end(&self) -> OpNumber {
        self.entries.last().map_or(self.after, Entry::op)
    }

    /// The chain hash at the end; `otherwise` when there is no entry to have one.
    fn head(&self, otherwise: ChainHash) -> ChainHash {
        self.entries.last().map_or(otherwise, |last| last.hash)
    }
}

fn run(entries_min: usize) -> BoxedStrategy<Run> {
    let entry = (number(), number(), number(), request());
    (0..NUMBER_MAX - 10, hash(), vec(entry, entries_min..6))
        .prop_map(|(after, previous, parts)| {
            let mut run = Run { after: OpNumber(after), previous, entries: Vec::new() };
            for (epoch, view, timestamp, request) in parts {
                let ballot = Ballot { epoch: EpochNumber(epoch), view: ViewNumber(view) };
                let stamp = Viewstamp { ballot, op: run.end().next() };
                run.entries.push(Entry::new(run.head(previous), stamp, Timestamp(timestamp), request));
            }
            run
        })
        .boxed()
}

fn crash_vector() -> impl Strategy<Value = CrashVector> {
    btree_map(node(), incarnation(), 0..=MEMBERS_MAX).prop_map(|pairs| pairs.into_iter().collect())
}

fn founders() -> impl Strategy<Value = Vec<Founder>> {
    let founder = (node(), any::<u128>()).prop_map(|(node, instance)| Founder { node, instance: InstanceId(instance) });
    vec(founder, 0..=MEMBERS_MAX)
}

fn configuration() -> impl Strategy<Value = Configuration> {
    (number(), btree_set(node(), 1..=MEMBERS_MAX), "[a-zß]{0,20}").prop_map(|(epoch, ids, host)| {
        let address = |id: NodeId| format!("{host}:{}", id.0);
        let members = ids.into_iter().map(|id| Member { id, role: Role::Active, address: address(id) });
        Configuration::new(EpochNumber(epoch), members.collect()).expect("ids and addresses differ")
    })
}

fn view_change_body() -> BoxedStrategy<Body> {
    let vote = (node(), incarnation()).prop_map(|(node, incarnation)| Vote { node, incarnation });
    prop_oneof![
        (view(), vec(vote, 0..=MEMBERS_MAX), any::<bool>()).prop_map(|(candidate, votes, confirmed)| {
            Body::StartViewChange(StartViewChange { candidate, votes, confirmed })
        }),
        (view(), op(), op(), hash(), run(0), crash_vector()).prop_map(
            |(log_view, commit, base, head, run, crash_vector)| Body::DoViewChange(Box::new(DoViewChange {
                log_view,
                op: run.end(),
                commit,
                base,
                head: run.head(head),
                previous: run.previous,
                suffix: run.entries,
                crash_vector,
            }))
        ),
        (op(), op(), hash(), run(0)).prop_map(|(commit, base, head, run)| Body::StartView(Box::new(StartView {
            op: run.end(),
            commit,
            base,
            head: run.head(head),
            previous: run.previous,
            suffix: run.entries,
        }))),
        (view(), op(), op(), any::<u32>()).prop_map(|(log_view, first, last, bytes_max)| Body::GetLog(GetLog {
            log_view,
            first,
            last,
            bytes_max
        })),
        (view(), content()).prop_map(|(log_view, content)| Body::LogChunk(LogChunk { log_view, content })),
        Just(Body::ViewHint),
    ]
    .boxed()
}

fn checkpoint_id() -> impl Strategy<Value = CheckpointId> {
    (op(), any::<[u8; 32]>()).prop_map(|(op, root)| CheckpointId { op, root: CheckpointRoot(root) })
}

fn quorum_checkpoint() -> impl Strategy<Value = QuorumCheckpoint> {
    (op(), checkpoint_id()).prop_map(|(held, agreed)| QuorumCheckpoint { held, agreed })
}

fn part() -> impl Strategy<Value = Part> {
    let path = vec(any::<u16>(), 0..4);
    let place = (0..3u8, path, any::<u16>(), any::<u32>()).prop_map(|(kind, path, field, piece)| {
        let mut bytes = vec![kind];
        if kind > 0 {
            bytes.push(u8::try_from(path.len()).unwrap());
            bytes.extend(path.iter().flat_map(|child| child.to_le_bytes()));
        }
        if kind > 1 {
            bytes.extend(field.to_le_bytes());
            bytes.extend(piece.to_le_bytes());
        }
        Place::decode(&bytes).expect("a place of each kind").0
    });
    (0..3u8, place).prop_map(|(kind, place)| match kind {
        0 => Part::Header,
        1 => Part::Service(place),
        _ => Part::ClientTable(place),
    })
}

/// What has to do with checkpoints.
fn checkpoint_body() -> BoxedStrategy<Body> {
    prop_oneof![
        (number(), checkpoint_id(), vec(part(), 0..5), any::<u32>()).prop_map(
            |(number, checkpoint, parts, bytes_max)| {
                Body::GetPages(Box::new(GetPages { number, checkpoint, parts, bytes_max }))
            }
        ),
        (number(), checkpoint_id(), vec(bytes(), 0..5))
            .prop_map(|(number, checkpoint, pages)| Body::Pages(Box::new(Pages { number, checkpoint, pages }))),
        (number(), checkpoint_id()).prop_map(|(number, checkpoint)| Body::NewRoot(NewRoot { number, checkpoint })),
    ]
    .boxed()
}

fn request_id() -> impl Strategy<Value = RequestId> {
    (client(), session(), any::<u32>(), request_number()).prop_map(|(client, session, slot, number)| RequestId {
        client,
        session,
        slot,
        number,
    })
}

fn content() -> impl Strategy<Value = StateContent> {
    prop_oneof![
        run(0).prop_map(|run| StateContent::Entries { after: run.after, previous: run.previous, entries: run.entries }),
        checkpoint_id().prop_map(StateContent::NeedCheckpoint),
    ]
}

fn normal_body() -> BoxedStrategy<Body> {
    prop_oneof![
        (run(1), op(), quorum_checkpoint()).prop_map(|(run, commit, checkpoint)| Body::Prepare(Prepare {
            previous: run.previous,
            entries: run.entries,
            commit,
            checkpoint,
        })),
        (op(), hash(), checkpoint_id()).prop_map(|(op, head, checkpoint)| Body::PrepareOk(PrepareOk {
            op,
            head,
            checkpoint
        })),
        (op(), op(), number()).prop_map(|(op, of, parts)| Body::StartViewPending(StartViewPending { op, of, parts })),
        (op(), op(), number(), number(), quorum_checkpoint()).prop_map(
            |(commit, op, sequence, sent_at, checkpoint)| {
                Body::Commit(Commit { commit, op, sequence, sent_at: Time(sent_at), checkpoint })
            }
        ),
        (number(), number(), op(), hash(), op(), checkpoint_id()).prop_map(
            |(sequence, sent_at, op, head, executed, checkpoint)| {
                Body::CommitAck(CommitAck { sequence, sent_at: Time(sent_at), op, head, executed, checkpoint })
            }
        ),
        (view(), op(), op(), hash(), any::<u32>()).prop_map(|(target, from, head_op, head, bytes_max)| {
            Body::GetState(GetState { target, from, head_op, head, bytes_max })
        }),
        (content(), op(), op()).prop_map(|(content, op, commit)| Body::NewState(Box::new(NewState {
            content,
            op,
            commit
        }))),
        (request_id(), bytes()).prop_map(|(request, payload)| Body::Predict(Box::new(Predict { request, payload }))),
        (request_id(), bytes()).prop_map(|(request, value)| Body::PredictOk(Box::new(PredictOk { request, value }))),
    ]
    .boxed()
}

fn survivor() -> impl Strategy<Value = Survivor> {
    (any::<bool>(), view(), view(), op(), hash(), op(), hash()).prop_map(
        |(has_journal, view, log_view, op, head, commit, commit_hash)| Survivor {
            has_journal,
            view,
            log_view,
            op,
            head,
            commit,
            commit_hash,
        },
    )
}

fn recovery_body() -> BoxedStrategy<Body> {
    let primary =
        (op(), op(), hash(), op()).prop_map(|(op, commit, head, base)| PrimaryState { op, commit, head, base });
    let options = any::<[u32; ClusterOptions::COUNT]>().prop_map(ClusterOptions::from_array);
    prop_oneof![
        (nonce(), any::<u32>(), op(), view()).prop_map(|(nonce, attempt, op, view)| Body::Recovery(Recovery {
            nonce,
            attempt,
            op,
            view
        })),
        (nonce(), any::<u32>(), survivor())
            .prop_map(|(nonce, attempt, survivor)| Body::AlsoRecovering(AlsoRecovering { nonce, attempt, survivor })),
        (view(), view(), op(), hash()).prop_map(|(view, log_view, op, head)| Body::Revive(Revive {
            view,
            log_view,
            op,
            head
        })),
        view().prop_map(|view| Body::ReviveOk(ReviveOk { view })),
        (nonce(), crash_vector(), option::of(primary)).prop_map(|(nonce, crash_vector, primary)| {
            Body::RecoveryResponse(Box::new(RecoveryResponse { nonce, crash_vector, primary }))
        }),
        (nonce(), any::<u32>()).prop_map(|(nonce, attempt)| Body::GetIncarnation(GetIncarnation { nonce, attempt })),
        (nonce(), incarnation(), founders()).prop_map(|(nonce, incarnation, founders)| {
            Body::KnownIncarnation(KnownIncarnation { nonce, incarnation, founders })
        }),
        (node(), incarnation(), nonce())
            .prop_map(|(node, known, nonce)| { Body::StaleIncarnation(StaleIncarnation { node, known, nonce }) }),
        (any::<u128>(), founders())
            .prop_map(|(instance, heard)| Body::Bootstrap(Bootstrap { instance: InstanceId(instance), heard })),
        founders().prop_map(|founders| Body::Founded(Founded { founders })),
        Just(Body::GetConfiguration),
        (configuration(), options).prop_map(|(configuration, options)| {
            Body::ConfigurationInfo(ConfigurationInfo { configuration, options })
        }),
    ]
    .boxed()
}

fn client_request() -> impl Strategy<Value = ClientRequest> {
    prop_oneof![
        (session(), any::<u32>(), request_number(), bytes())
            .prop_map(|(session, slot, number, payload)| ClientRequest::Operation { session, slot, number, payload }),
        any::<u32>().prop_map(|slots| ClientRequest::Register { slots }),
        (session(), nonce()).prop_map(|(session, nonce)| ClientRequest::Resume { session, nonce }),
        Just(ClientRequest::TakeCheckpoint),
    ]
}

fn refused_reason() -> impl Strategy<Value = RefusedReason> {
    prop_oneof![
        Just(RefusedReason::StaleRequest),
        Just(RefusedReason::DifferentOperation),
        Just(RefusedReason::NoSuchSlot),
        Just(RefusedReason::ReplyLost),
        Just(RefusedReason::Panicked),
        any::<u32>().prop_map(RefusedReason::TooLarge),
        ".{0,20}".prop_map(RefusedReason::Invalid),
    ]
}

fn client_reply() -> BoxedStrategy<ClientReply> {
    let busy_reason = prop_oneof![Just(BusyReason::QueueFull), Just(BusyReason::LogFull)];
    let not_serving_reason = prop_oneof![
        Just(NotServingReason::Starting),
        Just(NotServingReason::Recovering),
        Just(NotServingReason::QuorumLost),
        Just(NotServingReason::ViewChange),
    ];
    prop_oneof![
        (session(), any::<u32>(), request_number(), op(), bytes()).prop_map(|(session, slot, number, op, result)| {
            ClientReply::Reply { session, slot, number, op, result }
        }),
        (session(), any::<u32>()).prop_map(|(session, slots)| ClientReply::Registered { session, slots }),
        (session(), nonce(), session(), vec(request_number(), 0..70))
            .prop_map(|(old, nonce, session, numbers)| ClientReply::Resumed { old, nonce, session, numbers }),
        op().prop_map(|op| ClientReply::CheckpointTaken { op }),
        node().prop_map(|primary| ClientReply::Redirect { primary }),
        (option::of(any::<u32>()), request_number(), busy_reason)
            .prop_map(|(slot, number, reason)| ClientReply::Busy { slot, number, reason }),
        (session(), any::<u32>(), request_number(), refused_reason())
            .prop_map(|(session, slot, number, reason)| ClientReply::Refused { session, slot, number, reason }),
        session().prop_map(|session| ClientReply::NoSession { session }),
        not_serving_reason.prop_map(|reason| ClientReply::NotServing { reason }),
    ]
    .boxed()
}

fn hello() -> impl Strategy<Value = Hello> {
    let purpose = prop_oneof![Just(Purpose::Replica), Just(Purpose::Bulk), Just(Purpose::Client)];
    let durability = option::of(prop::sample::select(Durability::ALL.to_vec()));
    (cluster(), option::of(node()), incarnation(), purpose, any::<u16>(), any::<u64>(), durability).prop_map(
        |(cluster, node, incarnation, purpose, version, process, durability)| Hello {
            cluster,
            node,
            incarnation,
            purpose,
            version,
            process,
            durability,
        },
    )
}

/// A frame of any kind.
pub(crate) fn frame() -> impl Strategy<Value = Frame> {
    let body = prop_oneof![normal_body(), view_change_body(), recovery_body(), checkpoint_body()];
    prop_oneof![
        10 => (header(), body).prop_map(|(header, body)| Frame::Replica(Message { header, body })),
        3 => (cluster(), number(), client(), client_request()).prop_map(|(cluster, epoch, client, body)| {
            Frame::FromClient(FromClient { cluster, epoch: EpochNumber(epoch), client, body })
        }),
        5 => (header(), client(), client_reply())
            .prop_map(|(header, client, body)| Frame::ToClient(ToClient { header, client, body }))
            .boxed(),
        1 => hello().prop_map(Frame::Hello).boxed(),
        1 => Just(Frame::StatusRequest),
        1 => bytes().prop_map(Frame::Status),
        1 => (cluster(), btree_set(node(), 0..=MEMBERS_MAX))
            .prop_map(|(cluster, without)| Frame::ForceRecover(ForceRecover { cluster, without })),
    ]
}

/// A record of a journal.
pub fn record() -> impl Strategy<Value = Record> {
    let recoveries = || btree_map(node(), nonce(), 0..=MEMBERS_MAX);
    let rebase = (incarnation(), view(), view(), op(), number(), crash_vector(), recoveries(), run(0)).prop_map(
        |(incarnation, view, log_view, commit, timestamp, crash_vector, recoveries, run)| Rebase {
            incarnation,
            view,
            log_view,
            commit,
            base: run.after,
            base_hash: run.previous,
            base_timestamp: Timestamp(timestamp),
            crash_vector,
            recoveries,
            entries: run.entries,
        },
    );
    prop_oneof![
        rebase.prop_map(|rebase| Record::Rebase(Box::new(rebase))),
        (run(1), op()).prop_map(|(run, commit)| Record::Append { entries: run.entries, commit }),
        (view(), run(0), op()).prop_map(|(view, run, commit)| Record::Install {
            view,
            after: run.after,
            previous: run.previous,
            entries: run.entries,
            commit,
        }),
        (view(), op()).prop_map(|(view, commit)| Record::View { view, commit }),
        (crash_vector(), recoveries())
            .prop_map(|(crash_vector, recoveries)| Record::Knowledge { crash_vector, recoveries }),
        op().prop_map(Record::Commit),
    ]
}
