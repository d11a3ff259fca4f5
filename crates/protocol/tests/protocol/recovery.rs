//! Recovery, sentence by sentence (4.3, 8.2; docs/deviations.md, C). Traces A to F are in model_traces.rs.

use crate::common::{Group, ms, quiet};
use crate::script::Script;
use viewstamped_protocol::message::{
    Body, Header, NotServingReason, Prepare, PrepareOk, QuorumCheckpoint, StateContent,
};
use viewstamped_protocol::*;

/// 4.3: "While a replica's status is recovering it does not participate in either the request processing protocol or the view
/// change protocol." V15: one that joined a view change would promise a log it does not have.
#[test]
fn a_recovering_replica_takes_part_in_nothing() {
    let (mut group, session) = quiet(3);
    group.crash(2);
    group.restart(2);
    group.network.clear();
    group.submit(0, session, 1, "a");
    group.deliver(0, 2, "PREPARE");
    group.enter_view_change(2, 1);
    let prepare = Prepare {
        previous: ChainHash(0),
        entries: Vec::new(),
        commit: OpNumber(9),
        checkpoint: QuorumCheckpoint::default(),
    };
    for body in [
        Body::Prepare(prepare),
        Body::PrepareOk(PrepareOk { op: OpNumber(1), head: ChainHash(0), checkpoint: CheckpointId::default() }),
        Body::ViewHint,
    ] {
        let header = Header { view: ViewNumber(7), ..group.header(1) };
        group.input(2, Input::Message(Message { header, body }));
    }
    assert_eq!((group.status(2), group.view(2), group.op(2)), (StatusName::Recovering, 0, 0));
    assert!(group.network.iter().all(|(_, message)| message.header.from != NodeId(2)), "{:?}", group.transcript());
    assert_eq!(group.replica(2).report().not_serving, Some(NotServingReason::Recovering));
}

/// 4.3 step 2: "A replica j replies to a RECOVERY message only when its status is normal."
#[test]
fn only_a_normal_replica_answers_a_recovery() {
    let (mut group, _) = quiet(3);
    group.crash(2);
    group.restart(2);
    group.enter_view_change(1, 1);
    group.deliver(2, 1, "RECOVERY");
    group.deliver(2, 0, "RECOVERY");
    let answers: Vec<_> = group.hold(|_, message| message.body.name() == "RECOVERYRESPONSE");
    assert_eq!(answers.iter().map(|(_, message)| message.header.from.0).collect::<Vec<_>>(), [0]);
}

/// 4.3 step 2: "If j is the primary of its view, l is its log, n is its op-number, and k is the commit-number; otherwise these
/// values are nil."
#[test]
fn only_the_primary_describes_its_log() {
    let (mut group, session) = quiet(3);
    group.execute(0, session, 1, "a");
    group.crash(2);
    group.restart(2);
    group.deliver(2, 1, "RECOVERY");
    group.deliver(2, 0, "RECOVERY");
    let answers = group.hold(|_, message| message.body.name() == "RECOVERYRESPONSE");
    let logs = answers.iter().map(|(_, message)| match &message.body {
        Body::RecoveryResponse(m) => (message.header.from.0, m.primary.map(|primary| (primary.op.0, primary.commit.0))),
        _ => unreachable!(),
    });
    assert_eq!(logs.collect::<Vec<_>>(), [(1, None), (0, Some((2, 2)))]);
}

/// 4.3 step 3: "The recovering replica waits to receive at least f + 1 RECOVERYRESPONSE messages from different replicas, all
/// containing the nonce it sent in its RECOVERY message, including one from the primary of the latest view it learns of in
/// these messages." C4: the answers are of two views, and the primary's is of the older one.
#[test]
fn the_log_comes_from_the_primary_of_the_latest_view_heard_of() {
    let (mut group, session) = quiet(5);
    group.crash(4);
    group.restart(4);
    group.deliver(4, 0, "RECOVERY");
    let of_view_0 = group.take(0, 4, "RECOVERYRESPONSE");
    let asked = group.hold(|to, message| to != 0 && message.body.name() == "RECOVERY");
    group.network.clear();
    for id in [1, 2, 3] {
        group.enter_view_change(id, 1);
    }
    group.hold(|to, _| to == 0);
    group.settle();
    assert_eq!((group.view(1), group.status(1)), (1, StatusName::Normal));
    group.submit(1, session, 1, "a");
    group.hold(|to, _| to == 0);
    group.settle();
    group.network.extend(asked);
    for id in [1, 2, 3] {
        group.deliver(4, id, "RECOVERY");
    }
    group.input(4, Input::Message(of_view_0));
    group.deliver(2, 4, "RECOVERYRESPONSE");
    group.deliver(3, 4, "RECOVERYRESPONSE");
    let is_fetching = group.network.iter().any(|(_, message)| matches!(message.body, Body::GetState(_)));
    assert!(group.status(4) == StatusName::Recovering && !is_fetching, "three answers, none of the primary of view 1");
    group.deliver(1, 4, "RECOVERYRESPONSE");
    group.settle();
    assert_eq!((group.status(4), group.view(4), group.op(4)), (StatusName::Normal, 1, 2));
}

/// C2. r2 crashes twice and draws the same nonce: answers to the first RECOVERY, of before it acknowledged a, complete the
/// second. Then a is only at r0.
#[test]
fn an_answer_to_an_earlier_life_counts_for_nothing_even_if_the_nonce_is_the_same() {
    let (mut group, session) = quiet(3);
    let seed = group.seed;
    group.crash(2);
    group.restart(2);
    for id in [0, 1] {
        group.deliver(2, id, "RECOVERY");
    }
    let answers = group.hold(|_, message| message.body.name() == "RECOVERYRESPONSE");
    group.network.extend(answers.clone());
    group.settle();
    assert_eq!(group.status(2), StatusName::Normal);
    group.submit(0, session, 1, "a");
    group.deliver(0, 2, "PREPARE");
    group.deliver(2, 0, "PREPAREOK");
    assert_eq!(group.result().as_deref(), Some("a"));
    group.crash(2);
    group.network.clear();
    group.seed = seed;
    group.restart(2);
    group.network.clear();
    for (_, answer) in answers {
        group.input(2, Input::Message(answer));
    }
    assert!(group.network.is_empty(), "it believes nothing: {:?}", group.transcript());
}

/// C4: RECOVERY is sent again until it succeeds, also when the view changes while the log is being fetched.
#[test]
fn recovery_goes_on_when_the_view_changes_under_it() {
    for change_after_ms in 0..60 {
        let options = Options { transfer_bytes_max: 250, ..Options::default() };
        let (mut group, session) = Group::serving_with(5, options);
        for number in 1..=12 {
            group.execute(0, session, number, "x");
        }
        group.latency = ms(2);
        group.crash(4);
        group.restart(4);
        group.run_for(ms(change_after_ms));
        group.crash(0);
        group.run_for(ms(4_000));
        assert_eq!(group.status(4), StatusName::Normal, "r0 crashes after {change_after_ms} ms");
        assert_eq!(group.journal(4), "x".repeat(12));
    }
}

/// The primary that r2 learned the end of the log from does not answer its GETSTATE; r1, asked next, is behind, and has nothing
/// to give. They asked and answered each other without a pause, for ever, and r0 was never asked again.
#[test]
fn a_source_that_is_behind_is_not_asked_for_ever() {
    let (mut group, session) = quiet(3);
    group.crash(2);
    group.lose(|_, message| message.header.from == NodeId(0) && ["PREPARE", "NEWSTATE"].contains(&message.body.name()));
    for slot in 0..4 {
        group.submit_in(0, session, slot, 1, "x");
    }
    group.restart(2);
    group.run_for(ms(1_000));
    assert_eq!(group.status(2), StatusName::Recovering);
    group.heal();
    group.run_for(ms(2_500));
    assert_eq!((group.status(2), group.journal(2).as_str()), (StatusName::Normal, "xxxx"));
}

/// C15: the counter was lost and starts over; another life has used the number. Whoever knows says so, and the replica goes on
/// to one that was never used.
#[test]
fn an_incarnation_that_was_used_before_is_not_used_again() {
    let (mut group, session) = quiet(3);
    group.execute(0, session, 1, "a");
    let before = group.identities[&NodeId(2)].clone();
    group.crash(2);
    group.restart(2);
    group.run_for(ms(500));
    assert_eq!(group.replica(2).report().incarnation, Incarnation(2));
    group.crash(2);
    group.start(2, Some(before));
    group.run_for(ms(1_000));
    assert_eq!((group.status(2), group.replica(2).report().incarnation), (StatusName::Normal, Incarnation(3)));
    assert_eq!(group.journal(2), "a");
}

/// C11: mail for the replica's earlier life. The primary counts what the new life holds, not what the old one held.
#[test]
fn a_backup_that_lost_its_memory_is_sent_what_it_had_acknowledged() {
    let (mut group, session) = quiet(3);
    group.isolate(1);
    for number in 1..=5 {
        group.execute(0, session, number, "x");
    }
    group.crash(2);
    group.heal();
    group.restart(2);
    group.run_for(ms(1_000));
    assert_eq!((group.journal(2), group.op(2)), ("xxxxx".into(), 6));
    group.crash(0);
    group.run_for(ms(2_000));
    let primary = group.primary();
    assert_eq!(group.execute(primary, session, 6, "y"), "xxxxxy");
}

/// C6: an empty directory is not a new member: r1 held a with r0, came back empty, and would have started a view without it.
#[test]
fn an_empty_directory_is_never_taken_for_a_new_member() {
    let (mut group, session) = quiet(3);
    group.submit(0, session, 1, "a");
    group.deliver(0, 1, "PREPARE");
    group.deliver(1, 0, "PREPAREOK");
    assert_eq!(group.result().as_deref(), Some("a"));
    group.crash(1);
    group.network.clear();
    group.isolate(0);
    group.restart_wiped(1);
    group.run_for(ms(5_000));
    assert_eq!(group.status(1), StatusName::Recovering, "r1 and r2 are no quorum that remembers");
    group.heal();
    group.run_for(ms(3_000));
    for id in 0..3 {
        assert_eq!((group.status(id), group.journal(id).as_str()), (StatusName::Normal, "a"));
    }
}

/// C5: a confession to one attempt alone proves nothing. r1 recovers, and has its answers on the way; r2 loses its memory then,
/// and asks r1, who is recovering still. Both are back at once: nobody was without memory for long, and no alarm is raised.
#[test]
fn who_confesses_to_one_attempt_alone_is_not_taken_for_lost() {
    let mut script = Script::serving(3);
    script.play(
        "r1 crashes
         r1 recovers
         r1->r0  RECOVERY
         r1->r2  RECOVERY
         r0->r1  RECOVERYRESPONSE   late (of-r0)
         r2->r1  RECOVERYRESPONSE   late (of-r2)
         r2 crashes
         everything is lost
         r2 recovers
         r2->r1  RECOVERY
         r1->r2  ALSORECOVERING
         of-r2 arrives
         of-r0 arrives
         r1->r0  GETSTATE
         r0->r1  NEWSTATE
         r1 is normal v0
         everything is lost
         r2 waits 110 ms
         r2->*   RECOVERY
         *->r2   RECOVERYRESPONSE
         r2->r0  GETSTATE
         r0->r2  NEWSTATE
         r2 is normal v0",
    );
    let alarm = script.group.events.iter().find(|(_, event)| matches!(event, Event::QuorumLost { .. }));
    assert_eq!(alarm, None);
}

/// C9: the log that arrives is as long as the primary said, and is another one. It was not relied on, and is fetched again.
#[test]
fn a_log_fetched_whole_that_ends_in_another_hash_is_fetched_again() {
    let (mut group, session) = quiet(3);
    group.execute(0, session, 1, "a");
    group.run_for(ms(100));
    group.crash(2);
    group.restart(2);
    for (from, to, kind) in [(2, 0, "RECOVERY"), (2, 1, "RECOVERY"), (0, 2, "RECOVERYRESPONSE")] {
        group.deliver(from, to, kind);
    }
    group.deliver(1, 2, "RECOVERYRESPONSE");
    group.deliver(2, 0, "GETSTATE");
    let mut answer = group.take(0, 2, "NEWSTATE");
    let Body::NewState(state) = &mut answer.body else { unreachable!() };
    let StateContent::Entries { previous, entries, .. } = &mut state.content else { unreachable!() };
    let mut hash = *previous;
    for entry in entries.iter_mut() {
        // The same operations, as another history would have them.
        *entry = log::Entry::new(hash, entry.stamp, entry.timestamp.next(), entry.request.clone());
        hash = entry.hash;
    }
    group.input(2, Input::Message(answer));
    assert_eq!((group.status(2), group.op(2)), (StatusName::Recovering, 0));
    group.run_for(ms(1_000));
    let same = group.replica(0).probe().log.head_hash();
    assert_eq!((group.status(2), group.replica(2).probe().log.head_hash()), (StatusName::Normal, same));
}

/// C9: r2 knows from enough answers that there is a view 1, and its log is still under way. Normal in that view before it has the
/// log, it would promise view 3 an empty log of a later view than r0's, and A would be lost.
#[test]
fn a_replica_whose_log_is_still_arriving_promises_nothing() {
    let mut script = Script::serving(3);
    script.play(
        "r1 enters v1
         r2 enters v1
         r2->r1  DOVIEWCHANGE
         r1->r2  STARTVIEW
         everything is lost
         client->r1  REQUEST A
         r1->r2  PREPARE v1 n2
         r2->r1  PREPAREOK v1 n2
         r1->client  REPLY v1 A
         everything is lost
         r2 crashes
         r2 recovers
         r2->*   RECOVERY
         *->r2   RECOVERYRESPONSE
         r2->r1  GETSTATE v0 target=v1     lost
         r2 is recovering
         r1 is cut off
         r0 enters v3
         r0 waits 100 ms
         r0->r2  STARTVIEWCHANGE v3        // r2 takes part in nothing yet
         r2 is recovering
         1 s pass
         the network heals
         10 s pass
         everyone has executed A",
    );
}

/// C4: of one member the newest answer counts, and the latest view heard of counts even if the answer that named it is void.
#[test]
fn an_answer_that_a_crash_made_void_still_tells_of_a_later_view() {
    let mut script = Script::serving(5);
    script.play(
        "r4 crashes
         r4 recovers
         r4->*   RECOVERY
         r1->r4  RECOVERYRESPONSE v0
         r2->r4  RECOVERYRESPONSE v0
         everything is lost
         r1 enters v1
         r2 enters v1
         r3 enters v1
         r2->r1  DOVIEWCHANGE
         r3->r1  DOVIEWCHANGE
         r1->r3  STARTVIEW
         everything is lost
         r4 waits 110 ms
         r4->r3  RECOVERY
         r3->r4  RECOVERYRESPONSE v1       // r3 knows of view 1
         r3 crashes
         r3 recovers
         r3->r0  RECOVERY
         r4 waits 210 ms
         r4->r0  RECOVERY
         r0->r4  RECOVERYRESPONSE v0       // r0 knows that r3 has crashed since: r3's answer is void",
    );
    // Three answers of view 0 count, its primary's among them; but there is a view 1.
    assert_eq!(script.in_flight().iter().find(|line| line.contains("GETSTATE")), None, "it wants no log of view 0");
    script.play(
        "r4->r1  RECOVERY
         r1->r4  RECOVERYRESPONSE v1
         everything arrives
         r4 is normal v1",
    );
}

/// r2 came back from a crash, and a message of its former life reached r0, which said so: STALEINCARNATION. It went astray and
/// reached r1, which took the number for one of its own, higher than the one it had, and forgot everything.
#[test]
fn the_news_of_another_ones_incarnation_is_nobodys_reason_to_forget() {
    let (mut group, session) = Group::serving(3);
    group.execute(0, session, 1, "a");
    let old = group.header(2);
    group.crash(2);
    group.restart(2);
    group.run_for(ms(1_000));
    assert!(group.all_normal());
    group.input(0, Input::Message(Message { header: old, body: Body::ViewHint }));
    let astray = group.take(0, 2, "STALEINCARNATION");
    group.input(1, Input::Message(astray));
    assert_eq!(group.status(1), StatusName::Normal, "r1 has nothing to do with it");
}
