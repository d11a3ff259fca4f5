//! Which records a journal gets, and what they amount to.

use crate::common::{CLUSTER, ms};
use crate::script::Script;
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
