//! 5.1, efficient recovery: checkpoints, and the application state that others send. What concerns a disk is in durability/.

use std::collections::BTreeSet;

use viewstamped_protocol::message::{Body, StateContent};
use viewstamped_protocol::*;

use crate::common::{Group, ms};

/// A checkpoint at every fourth operation; the first one opens the session.
fn serving() -> (Group, SessionNumber) {
    let cluster_options = ClusterOptions { checkpoint_ops: 4, page_bytes: 512, ..ClusterOptions::default() };
    let mut group = Group::with(3, cluster_options, Options::default(), Durability::Replicated);
    group.run_for(ms(300));
    let session = group.register(0);
    (group, session)
}

/// Operations with these request-numbers, and time to settle.
fn execute(group: &mut Group, session: SessionNumber, numbers: std::ops::RangeInclusive<u64>) {
    for number in numbers {
        group.execute(0, session, number, "x");
    }
    group.run_for(ms(100));
}

fn taken(group: &Group, node: u64) -> Vec<CheckpointId> {
    let taken = |(id, event): &(NodeId, Event)| match event {
        Event::CheckpointTaken { id: checkpoint } if id.0 == node => Some(*checkpoint),
        _ => None,
    };
    group.events.iter().filter_map(taken).collect()
}

fn base(group: &Group, id: u64) -> u64 {
    group.replica(id).probe().log.base().0
}

/// "Every O operations the replication code makes an upcall to the application, requesting it to take a checkpoint"; "it records a
/// checkpoint number, which is simply the op-number of the latest operation included in the checkpoint."
#[test]
fn a_checkpoint_is_taken_every_so_many_operations_and_has_the_op_number_of_the_last() {
    let (mut group, session) = serving();
    execute(&mut group, session, 1..=12);
    for id in 0..3 {
        let ops: Vec<u64> = taken(&group, id).iter().map(|checkpoint| checkpoint.op.0).collect();
        assert_eq!(ops, [4, 8, 12], "r{id}, which has executed 13");
        assert_eq!(taken(&group, id), taken(&group, 0));
    }
}

/// "When it executes operations after the checkpoint, it must not modify the snapshot, but this can be accomplished by using
/// copy-on-write."
#[test]
fn what_is_executed_after_a_checkpoint_does_not_change_it() {
    let (mut group, session) = serving();
    group.isolate(2);
    execute(&mut group, session, 1..=10);
    assert_eq!((base(&group, 0), group.op(0)), (4, 11));
    group.heal();
    // r2 gets the checkpoint at 8, and nothing of what came after it.
    group.lose(|to, message| to == 2 && brings_entries(&message.body));
    group.run_for(ms(250));
    assert_eq!((group.journal(2).len(), group.journal(0).len()), (7, 10), "op 1 opened the session");
}

fn brings_entries(body: &Body) -> bool {
    match body {
        Body::NewState(state) => matches!(state.content, StateContent::Entries { .. }),
        Body::Prepare(_) => true,
        _ => false,
    }
}

/// "The recovering node uses the Merkle tree to determine which pages to fetch; it only needs to fetch those that differ from their
/// counterpart at the other replica."
#[test]
fn only_pages_that_differ_are_fetched() {
    let parts_sent = |is_known: bool| {
        let (mut group, session) = serving();
        if !is_known {
            group.isolate(2);
        }
        for number in 1..=39 {
            group.execute(0, session, number, format!("file {number:02}").leak());
        }
        group.run_for(ms(100));
        group.isolate(2);
        (40..=54).for_each(|number| drop(group.execute(0, session, number, "x")));
        group.run_for(ms(100));
        group.heal();
        let parts = std::rc::Rc::new(std::cell::Cell::new(0));
        let counter = parts.clone();
        group.lose(move |_, message| {
            if let Body::Pages(pages) = &message.body {
                counter.set(counter.get() + pages.pages.len());
            }
            false
        });
        group.run_for(ms(1_000));
        assert_eq!(group.journal(2), group.journal(0));
        assert!(group.events.iter().any(|(_, event)| matches!(event, Event::CheckpointInstalled { .. })));
        parts.get()
    };
    let (few, all) = (parts_sent(true), parts_sent(false));
    assert!(few * 3 < all, "{few} pages and headers of {all}");
}

/// "When it runs the protocol it informs the other nodes of the current value of its state"; "The primary then sends it the log from
/// that point on." Ours asks for the log first and is told which checkpoint it needs, so that one RECOVERY does.
#[test]
fn a_recovering_replica_gets_a_checkpoint_and_the_log_from_there() {
    let (mut group, session) = serving();
    execute(&mut group, session, 1..=10);
    group.crash(2);
    group.restart(2);
    let kinds = std::rc::Rc::new(std::cell::RefCell::new(BTreeSet::new()));
    let seen = kinds.clone();
    group.lose(move |to, message| {
        if to == 2 {
            seen.borrow_mut().insert(message.body.name());
            if let Body::RecoveryResponse(response) = &message.body
                && let Some(primary) = response.primary
            {
                assert_eq!(primary.base, OpNumber(4), "the primary tells how far back its log goes");
            }
        }
        false
    });
    group.run_for(ms(500));
    assert_eq!(group.status(2), StatusName::Normal);
    assert_eq!((base(&group, 2), group.op(2)), (8, 11), "the newest checkpoint, and the log above it");
    assert_eq!(group.journal(2), group.journal(0));
    assert!(kinds.borrow().contains("PAGES") && kinds.borrow().contains("NEWSTATE"), "{kinds:?}");
}

/// "Checkpoints allow the system to garbage collect the log, since only the operations after the latest checkpoint are needed. Keeping
/// a larger log than the minimum is a good idea however."
#[test]
fn two_checkpoints_of_log_are_kept() {
    let (mut group, session) = serving();
    execute(&mut group, session, 1..=6);
    assert_eq!(base(&group, 0), 0, "one checkpoint");
    execute(&mut group, session, 7..=8);
    assert_eq!(base(&group, 0), 4, "two");
    execute(&mut group, session, 9..=16);
    for id in 0..3 {
        assert_eq!((base(&group, id), group.op(id)), (12, 17), "r{id}");
    }
}

/// "the primary might have just taken a checkpoint, and if it immediately discarded the log prefix reflected in that checkpoint, it
/// would be unable to bring the recovering replica up to date without transferring application state."
#[test]
fn who_lags_by_less_than_a_checkpoint_needs_no_application_state() {
    let (mut group, session) = serving();
    execute(&mut group, session, 1..=10);
    group.isolate(2);
    execute(&mut group, session, 11..=14);
    group.heal();
    group.run_for(ms(500));
    assert_eq!(group.journal(2), group.journal(0));
    let is_of_pages = |event: &Event| matches!(event, Event::TransferStarted { .. });
    assert!(!group.events.iter().any(|(_, event)| is_of_pages(event)), "r2 lacked 12 to 15, and the log begins at 8");
}
