//! Normal operation (4.1). Views 0, 1, 2 are led by r0, r1, r2, and so on; op 1 opened the client's session.

use crate::common::Group;
use crate::script::Script;
use viewstamped_protocol::log::ENTRY_OVERHEAD_BYTES;
use viewstamped_protocol::message::{Body, PrepareOk};
use viewstamped_protocol::*;

/// N1. r2 alone has heard that A is committed, and has executed it; the new view's primary does not know. Its STARTVIEW names a
/// smaller commit-number. The paper's r2 takes that for its own, and executes A a second time.
#[test]
fn n1_a_smaller_commit_number_in_a_start_view_undoes_nothing() {
    let mut script = Script::serving(5);
    script.play(
        "
        client->r0  REQUEST A
        r0->r1      PREPARE v0 n2 k1
        r0->r2      PREPARE v0 n2 k1
        *->r0       PREPAREOK v0 n2
        r0->client  REPLY v0 A
        everything  is lost
        r0          waits 50 ms
        r0->r2      COMMIT v0 n2 k2
        r2          is normal v0 n2 k2 x2
        everything  is lost
        r0          crashes
        // View 1 is of r1, r3 and r4.
        r3          enters v1
        r4          enters v1
        r3->r1      DOVIEWCHANGE v1 n1 k1
        r4->r1      DOVIEWCHANGE v1 n1 k1
        r1->r2      STARTVIEW v1 n2 k1
        r2          is normal v1 n2 k2 x2
        r2          has executed A
        r1->*       STARTVIEW v1 n2 k1
        *->r1       PREPAREOK v1 n2
        r1->client  REPLY v1 A
        r0          recovers
        20 s        pass
        everyone    is normal
        everyone    has executed A
        ",
    );
}

/// N2 (4.1 step 7): "it waits until it has the request in its log". r4 hears that 2 operations of view 1 are committed. It holds 2 operations, but the second is another one, of
/// view 0.
#[test]
fn n2_a_commit_number_of_another_view_says_nothing_of_the_own_log() {
    let mut script = Script::serving(5);
    script.play(
        "
        client->r0  REQUEST B
        r0->r4      PREPARE v0 n2 k1
        everything  is lost
        r0          crashes
        // View 1 is of r1, r2 and r3; r4 does not hear that it starts.
        r2          enters v1
        r3          enters v1
        r2->r1      DOVIEWCHANGE v1 n1
        r3->r1      DOVIEWCHANGE v1 n1
        r1->r2      STARTVIEW v1 n1
        r1->r3      STARTVIEW v1 n1
        everything  is lost
        client->r1  REQUEST C
        r1->r2      PREPARE v1 n2 k1
        r1->r3      PREPARE v1 n2 k1
        *->r1       PREPAREOK v1 n2
        r1->client  REPLY v1 C
        everything  is lost
        r1          waits 50 ms
        r1->r4      COMMIT v1 n2 k2
        r4          is normal v0 n2 k1 x1
        r4          has executed nothing
        r4->r1      GETSTATE v0 target=v1 n'=1
        r1->r4      NEWSTATE v1 n2 k2 after=n1 l=[n2@v1]
        r4          is normal v1 n2 k2 x2
        r4          has executed C
        ",
    );
}

/// N3: the only PREPARE is lost everywhere and no request follows. Each of these finds it by itself: the primary, which repeats
/// it, and a backup, which hears of the op-number by COMMIT.
#[test]
fn n3_a_lost_prepare_is_sent_again() {
    let mut script = Script::serving(3);
    script.play(
        "
        client->r0  REQUEST A
        r0->*       PREPARE v0 n2 k1    lost
        r0          waits 50 ms
        r0->*       COMMIT v0 n2 k1     lost
        r0->r1      PREPARE v0 n2 k1
        r1->r0      PREPAREOK v0 n2
        r0->client  REPLY v0 A
        ",
    );
}

/// N3: in the paper, COMMIT names the commit-number alone, and n1 is what the backups have.
#[test]
fn n3_a_commit_shows_that_a_prepare_was_lost() {
    let mut script = Script::serving(3);
    script.play(
        "
        client->r0  REQUEST A
        r0->*       PREPARE v0 n2 k1    lost
        r0          waits 50 ms
        r0->*       PREPARE v0 n2 k1    lost
        r0->r1      COMMIT v0 n2 k1
        r1->r0      COMMITACK v0 n1
        r1          waits 10 ms
        r1->r0      GETSTATE v0 target=v0 n'=1
        r0->r1      NEWSTATE v0 n2 k1 after=n1 l=[n2@v0]
        r1->r0      PREPAREOK v0 n2
        r0->client  REPLY v0 A
        ",
    );
}

/// N3: the acknowledgements are lost instead. What is held is acknowledged again, and by COMMITACK as well.
#[test]
fn n3_a_lost_acknowledgement_is_given_again() {
    let mut script = Script::serving(5);
    script.play(
        "
        client->r0  REQUEST A
        r0->*       PREPARE v0 n2 k1
        *->r0       PREPAREOK v0 n2     lost
        r0          waits 50 ms
        r0->r1      PREPARE v0 n2 k1
        r1->r0      PREPAREOK v0 n2
        r0          is normal v0 n2 k1
        r0->r2      COMMIT v0 n2 k1
        r2->r0      COMMITACK v0 n2
        r0->client  REPLY v0 A
        ",
    );
}

/// N4: r1 and r2 have acknowledged A in view 0; this reaches r0 when it leads view 5, whose log they may not have.
#[test]
fn n4_an_acknowledgement_of_an_earlier_view_does_not_count() {
    let mut script = Script::serving(5);
    script.play(
        "
        client->r0  REQUEST A
        r0->r1      PREPARE v0 n2 k1
        r0->r2      PREPARE v0 n2 k1
        r1->r0      PREPAREOK v0 n2     late (m1)
        r2->r0      PREPAREOK v0 n2     late (m2)
        everything  is lost
        r3          enters v5
        r4          enters v5
        r3->r0      DOVIEWCHANGE v5 n1
        r4->r0      DOVIEWCHANGE v5 n1
        r0          is normal v5 n2 k1
        r0          holds A@v0
        m1          arrives
        m2          arrives
        r0          is normal v5 n2 k1
        r0->r3      STARTVIEW v5 n2
        r0->r4      STARTVIEW v5 n2
        r3->r0      PREPAREOK v5 n2
        r0          is normal v5 n2 k1
        r4->r0      PREPAREOK v5 n2
        r0->client  REPLY v5 A
        ",
    );
}

/// N5. r0 noted the client's request when it prepared it, and nobody heard of it. Back as a backup, and primary once more, the
/// paper's r0 would drop the retry as known, for ever.
#[test]
fn n5_a_request_that_was_lost_with_its_view_can_be_made_again() {
    let mut script = Script::serving(3);
    script.play(
        "
        client->r0  REQUEST A
        r0          holds A@v0
        everything  is lost
        r2          enters v1
        r2->r1      DOVIEWCHANGE v1 n1
        r1->r2      STARTVIEW v1 n1
        client->r1  REQUEST B
        r1->r2      PREPARE v1 n2 k1
        r2->r1      PREPAREOK v1 n2
        r1->client  REPLY v1 B
        r1->r0      STARTVIEW v1 n1
        r1->r0      PREPARE v1 n2 k1
        r0          holds B@v1
        everything  is lost
        // r0 leads view 3.
        r1          enters v3
        r1->r0      DOVIEWCHANGE v3 n2
        r0          is normal v3 n2
        r0->r1      STARTVIEW v3 n2
        r1->r0      PREPAREOK v3 n2
        r0->client  REPLY v3 B
        client->r0  REQUEST A
        r0          holds B@v1 A@v3
        r0->r1      PREPARE v3 n3
        r1->r0      PREPAREOK v3 n3
        r0->client  REPLY v3 BA
        ",
    );
}

/// N6 (4.1): "Backups ignore client requests; only the primary processes them." Ours say who that is.
#[test]
fn n6_a_backup_names_the_primary() {
    let mut script = Script::serving(3);
    script.play(
        "
        client->r1  REQUEST A
        r1->client  REDIRECT v0 r0
        nothing     is in flight
        ",
    );
}

/// N6: r2 is alone and attempts one view after another. A client that took these for the group's would think every answer of the
/// others out of date, for ever.
#[test]
fn n6_a_view_merely_attempted_is_not_shown_to_clients() {
    let mut script = Script::serving(3);
    script.play(
        "
        r2          is cut off
        r2          enters v900
        client->r2  REQUEST A
        r2->client  NOTSERVING v0 ViewChange
        ",
    );
}

/// N7: four replicas, f = 1. With "f PREPAREOKs" r0 and r1 commit; with "f + 1 DOVIEWCHANGEs" r2 and r3 change the view.
#[test]
fn n7_half_of_an_even_group_is_no_quorum() {
    let mut script = Script::serving(4);
    script.play(
        "
        client->r0  REQUEST A
        r0->r1      PREPARE v0 n2 k1
        r1->r0      PREPAREOK v0 n2
        nothing     is in flight to client
        r0          is normal v0 n2 k1
        everything  is lost
        r3          enters v2
        r3->r2      DOVIEWCHANGE v2 n1
        r2          is view-change v2 n1
        // With one more, whose log has A, the view can start.
        r1          enters v2
        r1->r2      DOVIEWCHANGE v2 n2
        r2          is normal v2 n2
        r2          holds A@v0
        ",
    );
}

/// N8: a delayed message of another epoch, in which the same id may have been another machine, counts for nobody.
#[test]
fn n8_a_message_of_another_epoch_counts_for_nobody() {
    let (mut group, session) = Group::serving(3);
    group.submit(0, session, 1, "A");
    group.deliver(0, 1, "PREPARE");
    let mut acknowledgement = group.take(1, 0, "PREPAREOK");
    assert!(matches!(acknowledgement.body, Body::PrepareOk(PrepareOk { op: OpNumber(2), .. })));
    acknowledgement.header.epoch = EpochNumber(1);
    group.input(0, Input::Message(acknowledgement.clone()));
    assert_eq!(group.commit(0), 1);
    assert!(group.replica(0).ignored().any(|(reason, _)| reason == Ignored::OtherEpoch));
    acknowledgement.header.epoch = EpochNumber::ZERO;
    group.input(0, Input::Message(acknowledgement));
    assert_eq!(group.commit(0), 2, "and in its own epoch it does");
}

/// N10 (4.1 step 4): "Backups process PREPARE messages in order". The paper's backup drops what comes too early, and does a state transfer each time.
#[test]
fn n10_a_prepare_that_comes_too_early_waits_for_its_turn() {
    let mut script = Script::serving(3);
    script.play(
        "
        client->r0  REQUEST A
        client->r0  REQUEST B
        client->r0  REQUEST C
        r0->r1      PREPARE v0 n2       late (m)
        r0->r1      PREPARE v0 n4
        r0->r1      PREPARE v0 n3
        r1          is normal v0 n1
        nothing     is in flight to r0  // What waits is not acknowledged.
        m           arrives
        r1          is normal v0 n4
        r1->r0      PREPAREOK v0 n4     // One, for all.
        nothing     is in flight to r0
        ",
    );
}

/// N10: what waits is bounded in bytes. There is room for two; the third is dropped, and sent again later.
#[test]
fn n10_what_waits_for_its_turn_is_bounded() {
    let two = 2 * (ENTRY_OVERHEAD_BYTES + 1);
    let mut script = Script::serving_with(3, Options { reorder_bytes_max: two, ..Script::options() });
    script.play(
        "
        client->r0  REQUEST A
        client->r0  REQUEST B
        client->r0  REQUEST C
        client->r0  REQUEST D
        r0->r1      PREPARE v0 n2       late (m)
        r0->r1      PREPARE v0 n3
        r0->r1      PREPARE v0 n4
        r0->r1      PREPARE v0 n5
        m           arrives
        r1          is normal v0 n4
        r1->r0      PREPAREOK v0 n4
        r0          waits 50 ms
        r0->r1      PREPARE v0 n5
        r1->r0      PREPAREOK v0 n5
        ",
    );
    assert!(script.group.replica(1).ignored().any(|(reason, count)| reason == Ignored::NoRoom && count == 1));
}

/// N10: what waits belongs to its view. A PREPARE kept in view 0 is not taken up in view 1.
#[test]
fn n10_what_waits_for_its_turn_ends_with_its_view() {
    let mut script = Script::serving(3);
    script.play(
        "
        client->r0  REQUEST A
        client->r0  REQUEST B
        r0->r2      PREPARE v0 n3
        everything  is lost
        r0          crashes
        r2          enters v1
        r2->r1      DOVIEWCHANGE v1 n1
        r1->r2      STARTVIEW v1 n1
        client->r1  REQUEST C
        r1->r2      PREPARE v1 n2
        r2          is normal v1 n2
        r2          holds C@v1
        ",
    );
}
