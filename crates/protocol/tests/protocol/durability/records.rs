//! Which records a journal gets, and what they amount to.

use crate::common::{CLUSTER, ms};
use crate::script::Script;
use viewstamped_protocol::log::{Entry, Request};
use viewstamped_protocol::message::ClientRequest;
use viewstamped_protocol::*;

fn kinds(records: impl IntoIterator<Item = Record>) -> Vec<String> {
    let kind = |record| match record {
        Record::Rebase(rebase) => format!("rebase {} k{}", rebase.view, rebase.commit.0),
        Record::Append { entries, commit } => format!("append {} k{}", entries.len(), commit.0),
        Record::Install { view, after, entries, commit, .. } => {
            format!("install {view} after {after} {} k{}", entries.len(), commit.0)
        }
        Record::View { view, commit } => format!("view {view} k{}", commit.0),
        Record::Knowledge { crash_vector, .. } => format!("knowledge {crash_vector}"),
        Record::Commit(commit) => format!("commit k{}", commit.0),
    };
    records.into_iter().map(kind).collect()
}

/// What the disk of a replica was given since it got stuck.
fn waiting(script: &mut Script, id: u64) -> Vec<String> {
    kinds(script.group.disk(id).waiting.iter().map(|(_, record)| record.clone()))
}

/// The first record says everything, and is durable before the cluster has begun: a power cut in between must not leave a
/// member that may have promised something and cannot tell what.
#[test]
fn a_journal_begins_with_a_whole_state() {
    for durability in [Durability::Background, Durability::Synchronous] {
        let mut script = Script::durable(3, durability);
        let first = script.group.disk(0).written.first().cloned();
        assert_eq!(kinds(first), ["rebase v0 k0"], "{durability}");
    }
}

#[test]
fn what_arrives_together_is_one_record() {
    let mut script = Script::durable(3, Durability::Background);
    script.play("2 s pass");
    script.group.disk(0).is_stuck = true;
    let replica = script.group.replicas.get_mut(&NodeId(0)).unwrap();
    for client in 1..=3 {
        let body = ClientRequest::Register { slots: 1 };
        let request = FromClient { cluster: CLUSTER, epoch: EpochNumber::ZERO, client: ClientId(client), body };
        replica.handle(script.group.now, Input::Client(request));
    }
    script.group.input(0, Input::Tick);
    assert_eq!(waiting(&mut script, 0), ["append 3 k1"]);
}

/// T8: the mark names only entries that are journaled before it, and costs no record of its own while there are others.
#[test]
fn the_commit_mark_goes_along_with_entries_and_alone_when_there_are_none_for_long() {
    let mut script = Script::durable(3, Durability::Background);
    script.play(
        "
        2 s pass
        r0's disk is stuck
        r1's disk is stuck
        client->r0  REQUEST A
        everything arrives
        client->r0  REQUEST B
        everything arrives
        100 ms pass
        ",
    );
    assert_eq!(waiting(&mut script, 0), ["append 1 k1", "append 1 k2"]);
    assert_eq!(waiting(&mut script, 1), ["append 1 k1", "append 1 k2"]);
    script.group.run_for(ms(1_000));
    assert_eq!(waiting(&mut script, 0), ["append 1 k1", "append 1 k2", "commit k3"]);
    script.group.run_for(ms(5_000));
    assert_eq!(waiting(&mut script, 0).len(), 3, "one mark, once");
}

/// The log shrinks and changes its view in one step: of neither a crash can leave a half (C13).
#[test]
fn a_views_log_and_the_view_itself_are_one_record() {
    let mut script = Script::durable(3, Durability::Synchronous);
    script.play(
        "
        client->r0  REQUEST A
        everything is lost
        r0's disk is stuck
        r1's disk is stuck
        r2 enters v1
        r1 enters v1
        r2->r1      DOVIEWCHANGE v1
        r1's disk writes
        client->r1  REQUEST B
        everything to r2 is lost
        r1->r0      STARTVIEW v1
        r0 holds nothing
        ",
    );
    assert_eq!(waiting(&mut script, 0), ["install v1 after n1 0 k1"]);
}

/// A power cut may come after any record. Whatever is there makes sense, and each record adds to what is known.
#[test]
fn every_beginning_of_a_journal_folds() {
    let cluster_options = ClusterOptions { checkpoint_ops: 1_000, ..ClusterOptions::default() };
    let mut script = Script::durable_with(3, cluster_options, Durability::Synchronous);
    script.play(
        "
        client->r0  REQUEST A
        everything arrives
        client->r0  REQUEST B               // only r0 gets it
        everything is lost
        r2 enters v1
        r1 enters v1
        everything arrives
        client->r1  REQUEST C
        everything arrives
        1500 ms pass
        r1 crashes
        r1 restarts in doubt
        3 s pass
        everyone is normal
        ",
    );
    for id in 0..3 {
        let written = script.group.disk(id).written.clone();
        assert!(written.len() > 6, "{:?}", kinds(written));
        let folds: Vec<_> =
            (1..=written.len()).map(|end| Surviving::replay(written[..end].to_vec()).unwrap()).collect();
        for pair in folds.windows(2) {
            assert!(pair[0].view <= pair[1].view || pair[0].incarnation < pair[1].incarnation);
            let committed = pair[0].log.hash_at(pair[0].commit);
            assert!(pair[1].log.hash_at(pair[0].commit) == committed, "nothing committed is ever replaced");
        }
        let (whole, replica) = (folds.last().unwrap(), script.group.replica(id).probe());
        assert_eq!((whole.view, whole.log_view), (replica.view, replica.log_view));
        assert_eq!(whole.log.head_hash(), replica.log.head_hash());
        assert_eq!(&whole.crash_vector, replica.crash_vector);
    }
}

fn entries(count: u64) -> Vec<Entry> {
    let mut entries: Vec<Entry> = Vec::new();
    for op in 1..=count {
        let stamp = Viewstamp { ballot: Ballot::default(), op: OpNumber(op) };
        let previous = entries.last().map_or(ChainHash(0), |entry| entry.hash);
        let request = Request::Register { client: ClientId(u128::from(op)), slots: 1 };
        entries.push(Entry::new(previous, stamp, Timestamp(op), request));
    }
    entries
}

fn replay(records: Vec<Record>) -> Result<Surviving, ReplayError> {
    Surviving::replay(records)
}

/// A journal whose records contradict each other is refused: the storage takes that for damage.
#[test]
fn records_that_make_no_sense_are_refused() {
    let all = entries(4);
    let (a, rest) = (vec![all[0].clone()], all[1..].to_vec());
    let begin = || Record::Rebase(Box::new(Rebase { incarnation: Incarnation(1), ..Rebase::default() }));
    let append = |entries: &[Entry], commit| Record::Append { entries: entries.to_vec(), commit: OpNumber(commit) };
    let view = |view| Record::View { view: ViewNumber(view), commit: OpNumber(0) };
    let install = |view, after, previous, entries: &[Entry]| Record::Install {
        view: ViewNumber(view),
        after: OpNumber(after),
        previous,
        entries: entries.to_vec(),
        commit: OpNumber(0),
    };
    assert_eq!(replay(Vec::new()), Err(ReplayError::NoBeginning));
    assert_eq!(replay(vec![append(&a, 0)]), Err(ReplayError::NoBeginning));
    let hole = replay(vec![begin(), append(&a, 0), append(&rest[1..], 0)]);
    assert_eq!(hole, Err(ReplayError::NotChained { found: OpNumber(3), head: OpNumber(1) }));
    let beyond = replay(vec![begin(), append(&a, 2)]);
    let misplaced =
        |commit, head| ReplayError::Commit { commit: OpNumber(commit), base: OpNumber(0), head: OpNumber(head) };
    assert_eq!(beyond, Err(misplaced(2, 1)));
    let backwards = replay(vec![begin(), view(5), view(4)]);
    assert_eq!(backwards, Err(ReplayError::OlderView { found: ViewNumber(4), known: ViewNumber(5) }));
    let apart = replay(vec![begin(), append(&a, 0), install(1, 1, ChainHash(9), &[])]);
    assert_eq!(apart, Err(ReplayError::NotJoined { view: ViewNumber(1), after: OpNumber(1) }));
    let committed_is_gone = replay(vec![begin(), append(&all, 3), install(1, 1, all[0].hash, &[])]);
    assert_eq!(committed_is_gone, Err(misplaced(3, 1)));
    let log_of_a_later_view = Rebase { log_view: ViewNumber(2), ..Rebase::default() };
    let ahead = replay(vec![Record::Rebase(Box::new(log_of_a_later_view))]);
    assert_eq!(ahead, Err(ReplayError::OlderView { found: ViewNumber(0), known: ViewNumber(2) }));
}

/// What stands on a checkpoint that never became durable was not relied on, and does not end what was before.
#[test]
fn a_state_above_a_checkpoint_that_is_not_there_is_left_out() {
    let all = entries(2);
    let first = Rebase { incarnation: Incarnation(1), entries: all.clone(), commit: OpNumber(1), ..Rebase::default() };
    let jump = Rebase { base: OpNumber(9), base_hash: ChainHash(9), commit: OpNumber(9), ..first.clone() };
    let jump = Record::Rebase(Box::new(Rebase { entries: Vec::new(), ..jump }));
    let folded = replay(vec![Record::Rebase(Box::new(first.clone())), jump]).unwrap();
    assert_eq!((folded.log.op(), folded.commit), (OpNumber(2), OpNumber(1)));
    let anew = Record::Rebase(Box::new(Rebase { incarnation: Incarnation(2), ..Rebase::default() }));
    let above = Rebase { base: OpNumber(1), base_hash: all[0].hash, entries: all[1..].to_vec(), ..first };
    let folded = replay(vec![Record::Rebase(Box::new(above)), anew]).unwrap();
    assert_eq!((folded.incarnation, folded.log.op()), (Incarnation(2), OpNumber(0)), "the empty state needs nothing");
}
