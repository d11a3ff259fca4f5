//! What replicas say to each other.

use bytes::{BufMut, BytesMut};

use super::DecodeError;
use super::configuration::{configuration, options, put_configuration, put_options};
use super::entries::Run;
use super::header::{Envelope, Kind, write_frame};
use super::pages;
use super::reader::Reader;
use crate::checkpoint::{CheckpointId, CheckpointRoot};
use crate::configuration::MEMBERS_MAX;
use crate::crash_vector::CrashVector;
use crate::log::Entry;
use crate::message::{
    AlsoRecovering, Body, Bootstrap, Commit, CommitAck, ConfigurationInfo, DoViewChange, Founded, Founder,
    GetIncarnation, GetLog, GetState, KnownIncarnation, LogChunk, Message, NewRoot, NewState, Predict, PredictOk,
    Prepare, PrepareOk, PrimaryState, QuorumCheckpoint, Recovery, RecoveryResponse, RequestId, Revive, ReviveOk,
    StaleIncarnation, StartView, StartViewChange, StartViewPending, StateContent, Survivor, Vote,
};
use crate::numbers::{
    ChainHash, ClientId, Incarnation, InstanceId, NodeId, Nonce, OpNumber, RequestNumber, SessionNumber, Time,
    ViewNumber,
};

/// Room for the fields of every message but runs of entries.
const FIELDS_ROOM: usize = 256;

const ENTRIES: u8 = 1;
const NEED_CHECKPOINT: u8 = 2;

/// Appends the frame of a message between replicas.
pub fn encode_message(message: &Message, out: &mut BytesMut) {
    let room = FIELDS_ROOM
        + run(&message.body).map_or(0, |run| run.room())
        + payload(&message.body).len()
        + pages::room(&message.body);
    write_frame(out, kind(&message.body), Envelope::of(&message.header), room, |out| encode_body(&message.body, out));
}

fn kind(body: &Body) -> Kind {
    match body {
        Body::Prepare(_) => Kind::Prepare,
        Body::PrepareOk(_) => Kind::PrepareOk,
        Body::Commit(_) => Kind::Commit,
        Body::CommitAck(_) => Kind::CommitAck,
        Body::StartViewChange(_) => Kind::StartViewChange,
        Body::DoViewChange(_) => Kind::DoViewChange,
        Body::StartView(_) => Kind::StartView,
        Body::StartViewPending(_) => Kind::StartViewPending,
        Body::GetState(_) => Kind::GetState,
        Body::NewState(_) => Kind::NewState,
        Body::GetLog(_) => Kind::GetLog,
        Body::LogChunk(_) => Kind::LogChunk,
        Body::Recovery(_) => Kind::Recovery,
        Body::RecoveryResponse(_) => Kind::RecoveryResponse,
        Body::GetIncarnation(_) => Kind::GetIncarnation,
        Body::AlsoRecovering(_) => Kind::AlsoRecovering,
        Body::Revive(_) => Kind::Revive,
        Body::ReviveOk(_) => Kind::ReviveOk,
        Body::KnownIncarnation(_) => Kind::KnownIncarnation,
        Body::StaleIncarnation(_) => Kind::StaleIncarnation,
        Body::Bootstrap(_) => Kind::Bootstrap,
        Body::Founded(_) => Kind::Founded,
        Body::GetConfiguration => Kind::GetConfiguration,
        Body::ConfigurationInfo(_) => Kind::ConfigurationInfo,
        Body::ViewHint => Kind::ViewHint,
        Body::Predict(_) => Kind::Predict,
        Body::PredictOk(_) => Kind::PredictOk,
        Body::GetPages(_) => Kind::GetPages,
        Body::Pages(_) => Kind::Pages,
        Body::NewRoot(_) => Kind::NewRoot,
    }
}

/// The bytes of a client or a service that a message ends in, if it is of a kind that does.
fn payload(body: &Body) -> &[u8] {
    match body {
        Body::Predict(m) => &m.payload,
        Body::PredictOk(m) => &m.value,
        _ => &[],
    }
}

/// The run of entries a message carries, if it is of a kind that does.
fn run(body: &Body) -> Option<Run<&[Entry]>> {
    match body {
        Body::Prepare(m) => {
            let first = m.entries.first().map_or(OpNumber::ZERO, Entry::op);
            Some(Run::after(first.previous(), m.previous, &m.entries))
        }
        Body::DoViewChange(m) => Some(Run::ending_at(m.op, m.head, m.previous, &m.suffix)),
        Body::StartView(m) => Some(Run::ending_at(m.op, m.head, m.previous, &m.suffix)),
        Body::LogChunk(m) => run_of(&m.content),
        Body::NewState(m) => run_of(&m.content),
        _ => None,
    }
}

fn run_of(content: &StateContent) -> Option<Run<&[Entry]>> {
    match content {
        StateContent::Entries { after, previous, entries } => Some(Run::after(*after, *previous, entries)),
        StateContent::NeedCheckpoint(_) => None,
    }
}

/// Writes the fields in the order of docs/wire-format.md; a run of entries or a payload always comes last.
fn encode_body(body: &Body, out: &mut BytesMut) {
    match body {
        Body::Prepare(m) => {
            out.put_u64_le(m.commit.0);
            put_quorum_checkpoint(out, &m.checkpoint);
        }
        Body::PrepareOk(m) => {
            out.put_u64_le(m.op.0);
            out.put_u128_le(m.head.0);
            put_checkpoint_id(out, &m.checkpoint);
        }
        Body::Commit(m) => {
            put_u64s(out, [m.commit.0, m.op.0, m.sequence, m.sent_at.0]);
            put_quorum_checkpoint(out, &m.checkpoint);
        }
        Body::CommitAck(m) => {
            put_u64s(out, [m.sequence, m.sent_at.0, m.op.0, m.executed.0]);
            out.put_u128_le(m.head.0);
            put_checkpoint_id(out, &m.checkpoint);
        }
        Body::StartViewChange(m) => {
            out.put_u64_le(m.candidate.0);
            out.put_u8(u8::from(m.confirmed));
            put_count(out, m.votes.len());
            m.votes.iter().for_each(|vote| put_u64s(out, [vote.node.0, vote.incarnation.0]));
        }
        Body::DoViewChange(m) => {
            put_u64s(out, [m.log_view.0, m.op.0, m.commit.0, m.base.0]);
            put_crash_vector(out, &m.crash_vector);
        }
        Body::StartView(m) => put_u64s(out, [m.op.0, m.commit.0, m.base.0]),
        Body::StartViewPending(m) => put_u64s(out, [m.op.0, m.of.0, m.parts]),
        Body::GetState(m) => {
            put_u64s(out, [m.target.0, m.from.0, m.head_op.0]);
            out.put_u128_le(m.head.0);
            out.put_u32_le(m.bytes_max);
        }
        Body::NewState(m) => {
            put_u64s(out, [m.op.0, m.commit.0]);
            put_content(out, &m.content);
        }
        Body::GetLog(m) => {
            put_u64s(out, [m.log_view.0, m.first.0, m.last.0]);
            out.put_u32_le(m.bytes_max);
        }
        Body::LogChunk(m) => {
            out.put_u64_le(m.log_view.0);
            put_content(out, &m.content);
        }
        Body::Recovery(m) => {
            out.put_u128_le(m.nonce.0);
            out.put_u32_le(m.attempt);
            put_u64s(out, [m.op.0, m.view.0]);
        }
        Body::RecoveryResponse(m) => encode_recovery_response(m, out),
        Body::GetIncarnation(m) => {
            out.put_u128_le(m.nonce.0);
            out.put_u32_le(m.attempt);
        }
        Body::AlsoRecovering(m) => {
            out.put_u128_le(m.nonce.0);
            out.put_u32_le(m.attempt);
            put_survivor(out, &m.survivor);
        }
        Body::Revive(m) => {
            put_u64s(out, [m.view.0, m.log_view.0, m.op.0]);
            out.put_u128_le(m.head.0);
        }
        Body::ReviveOk(m) => out.put_u64_le(m.view.0),
        Body::KnownIncarnation(m) => {
            out.put_u128_le(m.nonce.0);
            out.put_u64_le(m.incarnation.0);
            put_founders(out, &m.founders);
        }
        Body::StaleIncarnation(m) => {
            out.put_u64_le(m.node.0);
            out.put_u64_le(m.known.0);
            out.put_u128_le(m.nonce.0);
        }
        Body::Bootstrap(m) => {
            out.put_u128_le(m.instance.0);
            put_founders(out, &m.heard);
        }
        Body::Founded(m) => put_founders(out, &m.founders),
        Body::ConfigurationInfo(m) => {
            put_options(out, &m.options);
            put_configuration(out, &m.configuration);
        }
        Body::GetConfiguration | Body::ViewHint => {}
        Body::Predict(m) => put_request_id(out, &m.request),
        Body::PredictOk(m) => put_request_id(out, &m.request),
        Body::GetPages(m) => pages::put_get_pages(out, m),
        Body::Pages(m) => pages::put_pages(out, m),
        Body::NewRoot(m) => {
            out.put_u64_le(m.number);
            put_checkpoint_id(out, &m.checkpoint);
        }
    }
    out.put_slice(payload(body));
    if let Some(run) = run(body) {
        run.encode(out);
    }
}

/// The entries themselves come last in the frame.
fn put_content(out: &mut BytesMut, content: &StateContent) {
    match content {
        StateContent::Entries { .. } => out.put_u8(ENTRIES),
        StateContent::NeedCheckpoint(id) => {
            out.put_u8(NEED_CHECKPOINT);
            put_checkpoint_id(out, id);
        }
    }
}

fn encode_recovery_response(m: &RecoveryResponse, out: &mut BytesMut) {
    out.put_u128_le(m.nonce.0);
    put_crash_vector(out, &m.crash_vector);
    out.put_u8(u8::from(m.primary.is_some()));
    if let Some(primary) = &m.primary {
        put_u64s(out, [primary.op.0, primary.commit.0, primary.base.0]);
        out.put_u128_le(primary.head.0);
    }
}

pub(super) fn put_u64s<const N: usize>(out: &mut BytesMut, numbers: [u64; N]) {
    numbers.into_iter().for_each(|number| out.put_u64_le(number));
}

pub(super) fn put_count(out: &mut BytesMut, count: usize) {
    out.put_u32_le(u32::try_from(count).expect("tables of members are small"));
}

pub(super) fn put_checkpoint_id(out: &mut BytesMut, id: &CheckpointId) {
    out.put_u64_le(id.op.0);
    out.put_slice(&id.root.0);
}

fn put_quorum_checkpoint(out: &mut BytesMut, checkpoint: &QuorumCheckpoint) {
    out.put_u64_le(checkpoint.held.0);
    put_checkpoint_id(out, &checkpoint.agreed);
}

fn put_survivor(out: &mut BytesMut, survivor: &Survivor) {
    let Survivor { has_journal, view, log_view, op, head, commit, commit_hash } = *survivor;
    out.put_u8(u8::from(has_journal));
    put_u64s(out, [view.0, log_view.0, op.0, commit.0]);
    out.put_u128_le(head.0);
    out.put_u128_le(commit_hash.0);
}

pub(super) fn put_crash_vector(out: &mut BytesMut, vector: &CrashVector) {
    debug_assert!(vector.len() <= MEMBERS_MAX);
    put_count(out, vector.len());
    vector.iter().for_each(|(node, incarnation)| put_u64s(out, [node.0, incarnation.0]));
}

fn put_request_id(out: &mut BytesMut, request: &RequestId) {
    out.put_u128_le(request.client.0);
    put_u64s(out, [request.session.0, request.number.0]);
    out.put_u32_le(request.slot);
}

fn put_founders(out: &mut BytesMut, founders: &[Founder]) {
    debug_assert!(founders.len() <= MEMBERS_MAX);
    put_count(out, founders.len());
    for founder in founders {
        out.put_u64_le(founder.node.0);
        out.put_u128_le(founder.instance.0);
    }
}

pub(super) fn decode_message(kind: Kind, envelope: &Envelope, reader: &mut Reader<'_>) -> Result<Message, DecodeError> {
    let header = envelope.header(reader)?;
    let body = match kind {
        Kind::Prepare => Body::Prepare(decode_prepare(reader)?),
        Kind::PrepareOk => {
            Body::PrepareOk(PrepareOk { op: op(reader)?, head: head(reader)?, checkpoint: checkpoint_id(reader)? })
        }
        Kind::Commit => Body::Commit(decode_commit(reader)?),
        Kind::CommitAck => Body::CommitAck(decode_commit_ack(reader)?),
        Kind::StartViewChange => Body::StartViewChange(decode_start_view_change(reader)?),
        Kind::DoViewChange => Body::DoViewChange(Box::new(decode_do_view_change(reader)?)),
        Kind::StartView => Body::StartView(Box::new(decode_start_view(reader)?)),
        Kind::StartViewPending => {
            let (op, of) = (op(reader)?, op(reader)?);
            Body::StartViewPending(StartViewPending { op, of, parts: reader.number("parts fetched")? })
        }
        Kind::GetState => Body::GetState(decode_get_state(reader)?),
        Kind::NewState => Body::NewState(Box::new(decode_new_state(reader)?)),
        Kind::GetLog => Body::GetLog(decode_get_log(reader)?),
        Kind::LogChunk => Body::LogChunk(decode_log_chunk(reader)?),
        Kind::Recovery => Body::Recovery(Recovery {
            nonce: nonce(reader)?,
            attempt: reader.u32("attempt")?,
            op: op(reader)?,
            view: ViewNumber(reader.number("view of before")?),
        }),
        Kind::RecoveryResponse => Body::RecoveryResponse(Box::new(decode_recovery_response(reader)?)),
        Kind::GetIncarnation => {
            Body::GetIncarnation(GetIncarnation { nonce: nonce(reader)?, attempt: reader.u32("attempt")? })
        }
        Kind::AlsoRecovering => Body::AlsoRecovering(AlsoRecovering {
            nonce: nonce(reader)?,
            attempt: reader.u32("attempt")?,
            survivor: survivor(reader)?,
        }),
        Kind::Revive => Body::Revive(Revive {
            view: ViewNumber(reader.number("view that is to start")?),
            log_view: log_view(reader)?,
            op: op(reader)?,
            head: head(reader)?,
        }),
        Kind::ReviveOk => Body::ReviveOk(ReviveOk { view: ViewNumber(reader.number("view that is to start")?) }),
        Kind::KnownIncarnation => Body::KnownIncarnation(KnownIncarnation {
            nonce: nonce(reader)?,
            incarnation: Incarnation(reader.number("incarnation known")?),
            founders: founders(reader)?,
        }),
        Kind::StaleIncarnation => Body::StaleIncarnation(StaleIncarnation {
            node: NodeId(reader.u64("node")?),
            known: Incarnation(reader.number("incarnation known")?),
            nonce: nonce(reader)?,
        }),
        Kind::Bootstrap => {
            Body::Bootstrap(Bootstrap { instance: InstanceId(reader.u128("instance")?), heard: founders(reader)? })
        }
        Kind::Founded => Body::Founded(Founded { founders: founders(reader)? }),
        Kind::GetConfiguration => Body::GetConfiguration,
        Kind::ConfigurationInfo => {
            let options = options(reader)?;
            Body::ConfigurationInfo(ConfigurationInfo { configuration: configuration(reader)?, options })
        }
        Kind::Predict => Body::Predict(Box::new(Predict { request: request_id(reader)?, payload: reader.kept_rest() })),
        Kind::PredictOk => {
            Body::PredictOk(Box::new(PredictOk { request: request_id(reader)?, value: reader.kept_rest() }))
        }
        Kind::GetPages => Body::GetPages(Box::new(pages::get_pages(reader)?)),
        Kind::Pages => Body::Pages(Box::new(pages::pages(reader)?)),
        Kind::NewRoot => {
            let number = reader.number("number of the question")?;
            Body::NewRoot(NewRoot { number, checkpoint: checkpoint_id(reader)? })
        }
        _ => {
            debug_assert_eq!(kind, Kind::ViewHint);
            Body::ViewHint
        }
    };
    Ok(Message { header, body })
}

fn decode_prepare(reader: &mut Reader<'_>) -> Result<Prepare, DecodeError> {
    let commit = commit(reader)?;
    let checkpoint = quorum_checkpoint(reader)?;
    let Run { previous, entries, .. } = Run::decode(reader)?.not_empty(reader)?;
    Ok(Prepare { previous, entries, commit, checkpoint })
}

fn decode_commit(reader: &mut Reader<'_>) -> Result<Commit, DecodeError> {
    Ok(Commit {
        commit: commit(reader)?,
        op: op(reader)?,
        sequence: reader.number("sequence number")?,
        sent_at: Time(reader.number("send time")?),
        checkpoint: quorum_checkpoint(reader)?,
    })
}

fn decode_commit_ack(reader: &mut Reader<'_>) -> Result<CommitAck, DecodeError> {
    Ok(CommitAck {
        sequence: reader.number("sequence number")?,
        sent_at: Time(reader.number("send time")?),
        op: op(reader)?,
        executed: OpNumber(reader.number("op-number executed")?),
        head: head(reader)?,
        checkpoint: checkpoint_id(reader)?,
    })
}

fn decode_start_view_change(reader: &mut Reader<'_>) -> Result<StartViewChange, DecodeError> {
    let candidate = ViewNumber(reader.number("candidate view")?);
    let confirmed = reader.bool("whether confirmed")?;
    let count = reader.count("votes", MEMBERS_MAX, 16)?;
    let votes = (0..count)
        .map(|_| {
            let node = NodeId(reader.u64("node of a vote")?);
            Ok(Vote { node, incarnation: Incarnation(reader.number("incarnation of a vote")?) })
        })
        .collect::<Result<_, DecodeError>>()?;
    Ok(StartViewChange { candidate, votes, confirmed })
}

fn decode_do_view_change(reader: &mut Reader<'_>) -> Result<DoViewChange, DecodeError> {
    let log_view = log_view(reader)?;
    let (op, commit, base) = (op(reader)?, commit(reader)?, base(reader)?);
    let crash_vector = crash_vector(reader)?;
    let Run { head, previous, entries: suffix, .. } = Run::decode(reader)?.up_to(op, reader)?;
    Ok(DoViewChange { log_view, op, commit, base, head, previous, suffix, crash_vector })
}

fn decode_start_view(reader: &mut Reader<'_>) -> Result<StartView, DecodeError> {
    let (op, commit, base) = (op(reader)?, commit(reader)?, base(reader)?);
    let Run { head, previous, entries: suffix, .. } = Run::decode(reader)?.up_to(op, reader)?;
    Ok(StartView { op, commit, base, head, previous, suffix })
}

fn decode_get_state(reader: &mut Reader<'_>) -> Result<GetState, DecodeError> {
    Ok(GetState {
        target: ViewNumber(reader.number("target view")?),
        from: OpNumber(reader.number("op-number held")?),
        head_op: op(reader)?,
        head: head(reader)?,
        bytes_max: reader.u32("most bytes")?,
    })
}

fn decode_new_state(reader: &mut Reader<'_>) -> Result<NewState, DecodeError> {
    let (op, commit) = (op(reader)?, commit(reader)?);
    Ok(NewState { content: content(reader)?, op, commit })
}

fn content(reader: &mut Reader<'_>) -> Result<StateContent, DecodeError> {
    Ok(match reader.u8("kind of content")? {
        ENTRIES => {
            let Run { after, previous, entries, .. } = Run::decode(reader)?.whole(reader)?;
            StateContent::Entries { after, previous, entries }
        }
        NEED_CHECKPOINT => StateContent::NeedCheckpoint(checkpoint_id(reader)?),
        found => return Err(reader.choice("kind of content", found)),
    })
}

fn decode_get_log(reader: &mut Reader<'_>) -> Result<GetLog, DecodeError> {
    Ok(GetLog {
        log_view: log_view(reader)?,
        first: OpNumber(reader.number("first op-number")?),
        last: OpNumber(reader.number("last op-number")?),
        bytes_max: reader.u32("most bytes")?,
    })
}

fn decode_log_chunk(reader: &mut Reader<'_>) -> Result<LogChunk, DecodeError> {
    Ok(LogChunk { log_view: log_view(reader)?, content: content(reader)? })
}

fn decode_recovery_response(reader: &mut Reader<'_>) -> Result<RecoveryResponse, DecodeError> {
    let nonce = nonce(reader)?;
    let crash_vector = crash_vector(reader)?;
    let primary = if reader.bool("whether the primary answers")? {
        let (op, commit, base) = (op(reader)?, commit(reader)?, base(reader)?);
        Some(PrimaryState { op, commit, base, head: head(reader)? })
    } else {
        None
    };
    Ok(RecoveryResponse { nonce, crash_vector, primary })
}

pub(super) fn checkpoint_id(reader: &mut Reader<'_>) -> Result<CheckpointId, DecodeError> {
    let op = OpNumber(reader.number("op-number of the checkpoint")?);
    Ok(CheckpointId { op, root: CheckpointRoot(*reader.array("root of the checkpoint")?) })
}

fn quorum_checkpoint(reader: &mut Reader<'_>) -> Result<QuorumCheckpoint, DecodeError> {
    let held = OpNumber(reader.number("op-number of a quorum's checkpoint")?);
    Ok(QuorumCheckpoint { held, agreed: checkpoint_id(reader)? })
}

pub(super) fn crash_vector(reader: &mut Reader<'_>) -> Result<CrashVector, DecodeError> {
    let count = reader.count("nodes in the crash vector", MEMBERS_MAX, 16)?;
    let mut pairs: Vec<(NodeId, Incarnation)> = Vec::with_capacity(count);
    for _ in 0..count {
        let node = NodeId(reader.u64("node in the crash vector")?);
        if let Some((after, _)) = pairs.last().filter(|(last, _)| *last >= node) {
            return Err(DecodeError::Disorder { frame: reader.name(), found: node.0, after: after.0 });
        }
        pairs.push((node, Incarnation(reader.number("incarnation in the crash vector")?)));
    }
    Ok(pairs.into_iter().collect())
}

fn request_id(reader: &mut Reader<'_>) -> Result<RequestId, DecodeError> {
    Ok(RequestId {
        client: ClientId(reader.u128("client")?),
        session: SessionNumber(reader.number("session")?),
        number: RequestNumber(reader.number("request-number")?),
        slot: reader.u32("slot")?,
    })
}

fn founders(reader: &mut Reader<'_>) -> Result<Vec<Founder>, DecodeError> {
    let count = reader.count("founders", MEMBERS_MAX, 24)?;
    (0..count)
        .map(|_| {
            let node = NodeId(reader.u64("node of a founder")?);
            Ok(Founder { node, instance: InstanceId(reader.u128("instance of a founder")?) })
        })
        .collect()
}

fn survivor(reader: &mut Reader<'_>) -> Result<Survivor, DecodeError> {
    Ok(Survivor {
        has_journal: reader.bool("whether there is a journal")?,
        view: ViewNumber(reader.number("view-number")?),
        log_view: log_view(reader)?,
        op: op(reader)?,
        commit: commit(reader)?,
        head: head(reader)?,
        commit_hash: head(reader)?,
    })
}

fn op(reader: &mut Reader<'_>) -> Result<OpNumber, DecodeError> {
    reader.number("op-number").map(OpNumber)
}

fn head(reader: &mut Reader<'_>) -> Result<ChainHash, DecodeError> {
    Ok(ChainHash(reader.u128("chain hash")?))
}

pub(super) fn commit(reader: &mut Reader<'_>) -> Result<OpNumber, DecodeError> {
    reader.number("commit-number").map(OpNumber)
}

fn base(reader: &mut Reader<'_>) -> Result<OpNumber, DecodeError> {
    reader.number("base").map(OpNumber)
}

pub(super) fn log_view(reader: &mut Reader<'_>) -> Result<ViewNumber, DecodeError> {
    reader.number("last normal view").map(ViewNumber)
}

pub(super) fn nonce(reader: &mut Reader<'_>) -> Result<Nonce, DecodeError> {
    reader.u128("nonce").map(Nonce)
}
