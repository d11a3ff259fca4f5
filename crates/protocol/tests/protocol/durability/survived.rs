//! A boot with RECOVERY that does not fetch what its disk holds for certain (5.1; docs/deviations.md, T8).

use crate::common::ms;
use crate::script::Script;
use viewstamped_protocol::message::Body;
use viewstamped_protocol::*;

/// T8. r2's disk holds A, and B, which never committed; its commit mark is at A. Meanwhile C and D committed. To trust the disk
/// beyond the mark, and to fetch only what follows, would make A, B, D of it.
#[test]
fn t8_a_log_on_disk_is_trusted_up_to_its_commit_mark() {
    let mut script = Script::durable(3, Durability::Background);
    script.play(
        "
        client->r0  REQUEST A
        everything arrives
        100 ms pass
        client->r0  REQUEST B
        r0->r2      PREPARE v0 n3 k2
        everything is lost
        r2 holds A@v0 B@v0
        r0 is cut off
        r2 crashes
        r1 enters v1
        everything is lost
        r2 restarts
        r2 is recovering v0 n2 k2           // A is certain
        r2 waits 10 ms
        r2 has executed A
        the network heals
        r0 enters v1
        everything arrives
        500 ms pass
        r1 is normal v1
        r0 holds A@v0 B@v0
        ",
    );
    assert_eq!(script.group.events.iter().filter(|(_, event)| is_distrust(event)).count(), 0);
}

fn is_distrust(event: &Event) -> bool {
    matches!(event, Event::DiskDistrusted { .. })
}

/// "the recovering replica ... fetches only the suffix" (5.1 with 4.3): RECOVERY tells how far the disk reaches, and no entry
/// that it holds travels.
#[test]
fn what_the_disk_holds_for_certain_is_not_fetched() {
    let mut script = Script::durable(3, Durability::Background);
    for name in ["A", "B", "C", "D"] {
        script.play(&format!("client->r0 REQUEST {name}\neverything arrives"));
    }
    script.play(
        "
        2 s pass
        r2 crashes
        client->r0  REQUEST E
        everything arrives
        r2 restarts
        r2 is recovering v0 n5 k5
        r2->r0      RECOVERY v0
        r2->r1      RECOVERY v0
        r1->r2      RECOVERYRESPONSE v0
        r0->r2      RECOVERYRESPONSE v0
        r2->r0      GETSTATE v0 target=v0 n'=5 head=n5
        r0->r2      NEWSTATE v0 n6 k6 after=n5 l=[n6@v0]
        r2 is normal v0 n6 k6
        ",
    );
}

/// What lies above the mark is a guess: where the others' log has the same hash there, it is not fetched either.
#[test]
fn a_right_guess_of_what_lies_above_the_commit_mark_saves_fetching_it() {
    let mut script = Script::durable(3, Durability::Background);
    script.play(
        "
        client->r0  REQUEST A
        everything arrives
        client->r0  REQUEST B
        everything arrives
        r2 crashes                          // its commit mark is at A
        r2 restarts
        r2 is recovering v0 n2 k2
        r2->*       RECOVERY v0
        r1->r2      RECOVERYRESPONSE v0
        r0->r2      RECOVERYRESPONSE v0
        r2->r0      GETSTATE v0 target=v0 n'=2 head=n3
        r0->r2      NEWSTATE v0 n3 k3 after=n3 l=[]
        r2 is normal v0 n3 k3
        ",
    );
}

/// A disk that changed what was committed is found out, and nothing of it is used.
#[test]
fn a_disk_that_lies_about_what_is_committed_is_found_out() {
    let mut script = Script::durable(3, Durability::Background);
    script.play(
        "
        client->r0  REQUEST A
        everything arrives
        2 s pass
        r2 crashes
        ",
    );
    let other = Script::durable(3, Durability::Background);
    let mut other = other;
    other.play("client->r0 REQUEST Z\neverything arrives\n2 s pass");
    script.group.disk(2).written = other.group.disk(2).written.clone();
    script.play(
        "
        r2 restarts
        r2 is recovering v0 n2 k2
        r2 waits 10 ms
        500 ms pass
        r2 is normal v0 n2 k2
        r2 has executed A
        ",
    );
    assert_eq!(script.group.events.iter().filter(|(_, event)| is_distrust(event)).count(), 1);
}

/// A replica whose disk tells in which view it was goes back into no earlier one; and it need not wait for ever for a later one.
#[test]
fn a_replica_whose_view_is_durable_recovers_into_no_earlier_one() {
    let mut script = Script::durable(3, Durability::Synchronous);
    script.play(
        "
        client->r0  REQUEST A
        everything arrives
        100 ms pass
        r2 enters v1                        // alone
        everything is lost
        r2 crashes
        r2 restarts in doubt
        r2->r1      RECOVERY v0 late (m)
        r2->r0      RECOVERY v0
        r0->r2      RECOVERYRESPONSE v0
        m arrives
        r1->r2      RECOVERYRESPONSE v0
        r2 is recovering
        500 ms pass
        everyone is normal v1 n2
        ",
    );
    assert_eq!(script.group.replica(2).report().incarnation, Incarnation(2));
}

/// The journal of a life that has recovered says everything anew: what an earlier one wrote counts for nothing.
#[test]
fn a_journal_begins_anew_after_a_recovery() {
    let mut script = Script::durable(3, Durability::Background);
    script.play(
        "
        client->r0  REQUEST A
        everything arrives
        r2 crashes
        r2 restarts
        500 ms pass
        r2 is normal v0
        ",
    );
    let written = &script.group.disk(2).written;
    let last = written.iter().rev().find_map(|record| match record {
        Record::Rebase(rebase) => Some((rebase.incarnation, rebase.log_view, rebase.entries.len())),
        _ => None,
    });
    assert_eq!(last, Some((Incarnation(2), ViewNumber(0), 2)));
    let asks = |(_, message): &(NodeId, Message)| matches!(message.body, Body::Recovery(_));
    script.group.run_for(ms(100));
    assert!(!script.group.network.iter().any(asks));
}
