//! How a view change begins and goes on (4.2, 8.1). Views 0, 1, 2 are led by r0, r1, r2, and so on.

use std::time::Duration;

use crate::common::ms;
use crate::script::Script;

/// V2. "Advances its view-number" is read as: to the view of the message, not by one. Otherwise replicas chase each other.
#[test]
fn v2_a_replica_adopts_the_very_view_it_hears_of() {
    let mut script = Script::serving(3);
    script.play(
        "
        r1          enters v5
        r1->r2      DOVIEWCHANGE v5 n1          late (m)
        r2          times out
        r2->r1      STARTVIEWCHANGE v0 candidate=v1 votes=[r2]
        r1->r2      STARTVIEWCHANGE v5 candidate=v5 votes=[r0 r1] confirmed
        r2          is view-change v5
        m           arrives
        r2          is normal v5
        // r0 goes on in view 0, and is told.
        everything  is lost
        r0          waits 50 ms
        r0->r2      COMMIT v0
        r2->r0      STARTVIEW v5
        r0          is normal v5
        ",
    );
}

/// V3: a vote that is lost is cast again, for the same view.
#[test]
fn v3_a_lost_vote_is_repeated() {
    let mut script = Script::serving(3);
    script.play(
        "
        r1          times out
        r1->*       STARTVIEWCHANGE v0 candidate=v1 votes=[r1]      lost
        r1          waits 100 ms
        r1->r2      STARTVIEWCHANGE v0 candidate=v1 votes=[r1]
        ",
    );
}

/// V3: so is everything else of a view change, and its view stays the same.
#[test]
fn v3_every_message_of_a_view_change_is_repeated() {
    let mut script = Script::serving(3);
    script.play(
        "
        r2          enters v1
        r2->r1      DOVIEWCHANGE v1 n1                                      lost
        r2          waits 100 ms
        r2->r0      STARTVIEWCHANGE v1 candidate=v1 votes=[r0 r2] confirmed      lost
        r2->r1      STARTVIEWCHANGE v1 candidate=v1 votes=[r0 r2] confirmed      lost
        r2->r1      DOVIEWCHANGE v1 n1
        r1          is normal v1
        r1->*       STARTVIEW v1 n1                                         lost
        // Whoever missed the STARTVIEW asks by its DOVIEWCHANGE.
        r2          waits 100 ms
        r2->r1      DOVIEWCHANGE v1 n1
        r1->r2      STARTVIEW v1 n1
        r2          is normal v1
        ",
    );
}

/// How long r2 stays in the view change for `view` before it votes for the next one.
fn patience(script: &mut Script, view: u64) -> Duration {
    script.play(&format!("r2 enters v{view}"));
    let before = script.ahead(2);
    script.play("r2 times out\n everything is lost");
    script.ahead(2) - before
}

/// V3: each view change that fails doubles the next one's timeout, up to five seconds, plus at most a quarter: a network
/// slower than expected gets its view at last. A view in which something commits was no failure.
#[test]
fn v3_the_timeout_doubles_until_something_commits() {
    let mut script = Script::serving(3);
    for (view, least) in [(1, 300), (3, 600), (4, 1_200), (6, 2_400), (7, 4_800), (9, 5_000), (10, 5_000)] {
        let patience = patience(&mut script, view);
        assert!(patience >= ms(least) && patience <= ms(least + least / 4 + 100), "view {view}: {patience:?}");
    }
    script.play(
        "
        r1          enters v11
        r1->r2      DOVIEWCHANGE v11 n1
        r2          is normal v11
        ",
    );
    assert!(patience(&mut script, 12) >= ms(5_000), "a view that only starts proves nothing");
    script.play(
        "
        r1          enters v14
        r1->r2      DOVIEWCHANGE v14 n1
        client->r2  REQUEST A
        r2->r1      STARTVIEW v14 n1
        r2->r1      PREPARE v14 n2
        r1->r2      PREPAREOK v14 n2
        r2->client  REPLY v14 A
        everything  is lost
        ",
    );
    assert!(patience(&mut script, 15) <= ms(475), "and now it starts over");
}

/// V4: the paper's new primary first waits for STARTVIEWCHANGEs, so as to send a DOVIEWCHANGE to itself. One of another is
/// enough for it to know.
#[test]
fn v4_the_new_primary_needs_no_start_view_change_of_its_own() {
    let mut script = Script::serving(3);
    script.play(
        "
        r2          enters v1
        r1          is normal v0
        r2->r1      DOVIEWCHANGE v1 n1
        r1          is normal v1
        ",
    );
}

/// V7: a vote binds nobody, neither who casts it nor who hears it.
#[test]
fn v7_one_vote_changes_no_view() {
    let mut script = Script::serving(3);
    script.play(
        "
        r2          times out
        r2->*       STARTVIEWCHANGE v0 candidate=v1 votes=[r2]
        everyone    is normal v0
        client->r0  REQUEST A
        r0->r2      PREPARE v0 n2
        r2->r0      PREPAREOK v0 n2
        r0->client  REPLY v0 A
        ",
    );
}

/// V7: r2 can send but not hear. Its timer fires for ever, and what it wants is nobody's concern; hearing again, it follows.
#[test]
fn v7_a_deaf_replica_changes_no_view() {
    let mut script = Script::serving(3);
    script.play(
        "
        cut         r0->r2
        cut         r1->r2
        10 s        pass
        everyone    is normal v0
        client->r0  REQUEST A
        r0->r1      PREPARE v0 n2
        r1->r0      PREPAREOK v0 n2
        r0->client  REPLY v0 A
        the network heals
        1 s         pass
        everyone    is normal v0
        everyone    has executed A
        ",
    );
}

/// V7: r2 has seen two votes and moved; r1, whose vote one of them was, hears the primary again. If it stayed, r2 would be alone
/// in a view change that nobody else wants, and missing when it is needed.
#[test]
fn v7_nobody_is_left_alone_in_a_view_change() {
    let mut script = Script::serving(3);
    script.play(
        "
        r2          grows impatient
        r1          times out
        r1->r2      STARTVIEWCHANGE v0 candidate=v1 votes=[r1]
        r2          times out
        r2          is view-change v1
        r2->r1      STARTVIEWCHANGE v1 candidate=v1 votes=[r2] confirmed   late (m)
        r2->r1      DOVIEWCHANGE v1                                      lost
        everything  from r1 is lost
        r0          waits 50 ms
        r0->r1      COMMIT v0
        r1          is normal v0
        m           arrives
        r1          is view-change v1
        r2->r0      STARTVIEWCHANGE v1 candidate=v1 votes=[r2] confirmed
        r0          is view-change v1
        ",
    );
}

/// V8: r0 can send but not hear. Its COMMITs would keep everyone content for ever; it falls silent instead, and asks for another
/// primary. What it prepares meanwhile is sent to nobody.
#[test]
fn v8_a_deaf_primary_falls_silent() {
    let mut script = Script::serving(3);
    script.play(
        "
        cut         r1->r0
        cut         r2->r0
        r0          waits 300 ms
        r0->r1      COMMIT v0 n1
        r0->r2      COMMIT v0 n1
        everything  is lost
        r0          times out
        r0->*       STARTVIEWCHANGE v0 candidate=v1 votes=[r0]      lost
        client->r0  REQUEST A
        r0          waits 1000 ms
        r0->*       STARTVIEWCHANGE v0 candidate=v1 votes=[r0]      lost
        nothing     is in flight
        // The others elect r1, and once it is heard r0 follows.
        1 s         pass
        r1          is normal v1
        r2          is normal v1
        r0          is normal v0
        the network heals
        1 s         pass
        everyone    is normal v1
        ",
    );
}

/// V13. r1 leads view 1 and holds the REGISTER that r0 has committed and answered, but does not know yet that it is committed.
/// Judged by its client-table, the client's first request would belong to no session.
#[test]
fn v13_a_new_primary_judges_no_request_before_it_has_executed_what_it_inherited() {
    let mut script = Script::begun_with(3, Script::options());
    script.play(
        "
        client->r0  REGISTER
        r0->r1      PREPARE v0 n1 k0
        r1->r0      PREPAREOK v0 n1
        r0->client  REGISTERED v0 c1
        everything  is lost
        r0          crashes
        r2          enters v1
        r2->r1      DOVIEWCHANGE v1 n0
        r1          is normal v1 n1 k0
        client->r1  REQUEST A
        nothing     is in flight to client
        r1->r2      STARTVIEW v1 n1
        r2->r1      PREPAREOK v1 n1
        r1->client  REGISTERED v1 c1
        r1->r2      PREPARE v1 n2 k1
        r2->r1      PREPAREOK v1 n2
        r1->client  REPLY v1 A
        ",
    );
}

/// V16 (4.2 step 4): the client never heard of what r0 committed. The new primary tells it, unasked, when it executes that; asked,
/// it tells it once more, and executes nothing again.
#[test]
fn v16_the_new_primary_answers_for_what_it_inherited() {
    let mut script = Script::serving(3);
    script.play(
        "
        client->r0  REQUEST A
        r0->r1      PREPARE v0 n2 k1
        r1->r0      PREPAREOK v0 n2
        r0->client  REPLY v0 A          lost
        everything  is lost
        r0          crashes
        r2          enters v1
        r2->r1      DOVIEWCHANGE v1 n1
        r1          is normal v1 n2 k1
        r1->r2      STARTVIEW v1 n2
        client->r1  REQUEST A           // It waits: A is in the log, and not executed.
        r2->r1      PREPAREOK v1 n2
        r1->client  REPLY v1 A          // To the request of view 0.
        r1->client  REPLY v1 A          // To its retry.
        r1          is normal v1 n2 k2 x2
        r1          has executed A
        ",
    );
}
