//! Non-deterministic operations (4.4). `guess` has a value that the primary predicts, `draw` one to which f + 1 replicas contribute;
//! `r0.1` is r0's first prediction, and `...` says that some are missing.

use crate::script::Script;
use viewstamped_protocol::*;

/// 4.4: "a pre-step in the protocol in which it requests values from the backups, waits for f responses, and then computes the
/// predicted value as a deterministic function of their responses and its own". N9: before that it has no op-number, and an
/// answer that comes twice is one answer.
#[test]
fn n9_a_value_is_made_of_the_answers_of_f_backups_and_the_primarys_own() {
    let mut script = Script::serving(5);
    script.play(
        "
        client->r0  REQUEST draw
        r0->r3      PREDICT v0 c1/0/s1
        r3->r0      PREDICTOK v0 c1/0/s1    twice
        r0          is normal v0 n1
        r0->r1      PREDICT v0 c1/0/s1
        r1->r0      PREDICTOK v0 c1/0/s1
        r0          is normal v0 n2
        r0->*       PREPARE v0 n2 k1
        *->r0       PREPAREOK v0 n2
        r0->client  REPLY v0 draw(r0.1+r1.1+r3.1)
        r0->*       PREDICT v0 c1/0/s1
        *->r0       PREDICTOK v0 c1/0/s1    // too late
        r0          is normal v0 n2 k2 x2
        100 ms      pass
        everyone    has executed draw(r0.1+r1.1+r3.1)
        ",
    );
}

/// N9: the paper waits for ever for an answer that was lost. Whoever has not answered is asked again, and nobody else.
#[test]
fn n9_who_has_not_answered_is_asked_again() {
    let mut script = Script::serving(5);
    script.play(
        "
        client->r0  REQUEST draw
        r0->r3      PREDICT v0 c1/0/s1
        r3->r0      PREDICTOK v0 c1/0/s1
        r0->r1      PREDICT v0 c1/0/s1
        r1->r0      PREDICTOK v0 c1/0/s1    lost
        r0->*       PREDICT v0 c1/0/s1      lost
        r0          waits 49 ms
        everything  is lost
        r0          waits 1 ms
        r0->r1      PREDICT v0 c1/0/s1
        r0->r2      PREDICT v0 c1/0/s1      lost
        r0->r4      PREDICT v0 c1/0/s1      lost
        r0->*       COMMIT v0 n1            lost
        nothing     is in flight to r3
        r1->r0      PREDICTOK v0 c1/0/s1
        r0          is normal v0 n2
        everything  arrives
        r0          has executed draw(r0.1+r1.2+r3.1)
        ",
    );
}

/// N9: f backups never answer. At the deadline the values that are there must do, and the service is told that some are missing.
#[test]
fn n9_at_the_deadline_the_values_that_are_there_must_do() {
    let mut script = Script::serving(5);
    script.play(
        "
        client->r0  REQUEST draw
        r0->r3      PREDICT v0 c1/0/s1
        r3->r0      PREDICTOK v0 c1/0/s1
        everything  is lost
        r0          waits 199 ms
        r0          is normal v0 n1
        everything  is lost
        r0          waits 1 ms
        r0          is normal v0 n2
        r0->*       PREPARE v0 n2 k1
        *->r0       PREPAREOK v0 n2
        r0->client  REPLY v0 draw(r0.1+r3.1...)
        ",
    );
}

/// N9: r0 asked as the primary of view 0, and r1 answered; now r0 is the primary of view 3, and is asked for the same under the
/// same number. What r1 said in view 0 is of view 0.
#[test]
fn n9_an_answer_of_an_older_view_does_not_count() {
    let mut script = Script::serving(3);
    script.play(
        "
        client->r0  REQUEST draw
        r0->r1      PREDICT v0 c1/0/s1
        r1->r0      PREDICTOK v0 c1/0/s1    late (old)
        everything  is lost
        r0          enters v3
        r2          enters v3
        r2->r0      DOVIEWCHANGE v3 n1
        r0          is normal v3 n1
        client->r0  REQUEST draw
        old         arrives
        r0          is normal v3 n1
        r0->r2      STARTVIEW v3 n1
        r0->r2      PREDICT v3 c1/0/s1
        r2->r0      PREDICTOK v3 c1/0/s1
        r0          is normal v3 n2
        everything  arrives
        r0          has executed draw(r0.2+r2.1)
        ",
    );
}

/// N9: with the view everything that was being predicted in it is gone. The client tries again; the new primary asks anew, and one
/// value is executed everywhere.
#[test]
fn n9_a_pre_step_ends_with_its_view() {
    let mut script = Script::serving(3);
    script.play(
        "
        client->r0  REQUEST draw
        r0->r2      PREDICT v0 c1/0/s1
        r2->r0      PREDICTOK v0 c1/0/s1    late (old)
        everything  is lost
        r2          enters v1
        r2->r1      DOVIEWCHANGE v1 n1
        r1->*       STARTVIEW v1 n1
        old         arrives
        everyone    is normal v1 n1
        everything  is lost
        r0          waits 300 ms            // beyond the deadline that it had
        r0          is normal v1 n1
        client->r1  REQUEST draw
        r1->r2      PREDICT v1 c1/0/s1
        r2->r1      PREDICTOK v1 c1/0/s1
        r1->*       PREPARE v1 n2 k1
        *->r1       PREPAREOK v1 n2
        r1->client  REPLY v1 draw(r1.1+r2.2)
        100 ms      pass
        everyone    has executed draw(r1.1+r2.2)
        ",
    );
}

/// N9: r0 gave two operations their values, and fell. Its clock is far ahead of r1's. r1 could predict and has a clock, but what
/// survives keeps value and timestamp; and so it comes back to r0, which recovers.
#[test]
fn n9_what_survives_keeps_its_value_and_its_timestamp() {
    let mut script = Script::serving(3);
    script.play(
        "
        client->r0  REQUEST draw
        client->r0  REQUEST guess
        r0->r1      PREDICT v0 c1/0/s1
        r1->r0      PREDICTOK v0 c1/0/s1
        r0->r1      PREPARE v0 n2 k1
        r0->r1      PREPARE v0 n3 k1
        r0          is normal v0 n3 k1
        r1          is normal v0 n3 k1
        everything  is lost
        r0          crashes
        ",
    );
    let clock = |script: &Script, id| -> Vec<Timestamp> {
        script.group.replica(id).probe().log.iter_above(OpNumber(0)).map(|entry| entry.timestamp).collect()
    };
    let given = clock(&script, 1);
    script.group.now.wall = Timestamp(5);
    script.play(
        "
        r2          enters v1
        r2->r1      DOVIEWCHANGE v1 n1
        r1          is normal v1 n3
        r1->r2      STARTVIEW v1 n3
        r2->r1      PREPAREOK v1 n3
        r1->client  REPLY v1 guess(r0.2)
        r1->client  REPLY v1 guess(r0.2)draw(r0.1+r1.1)
        r0          recovers
        20 s        pass
        everyone    is normal
        everyone    has executed guess(r0.2)draw(r0.1+r1.1)
        ",
    );
    assert!((0..3).all(|id| clock(&script, id) == given));
}

/// N9: a slow pre-step holds up nobody: what the client asks for meanwhile, in another slot, is done first.
#[test]
fn n9_a_slow_pre_step_lets_others_pass() {
    let mut script = Script::serving(3);
    script.play(
        "
        client->r0  REQUEST draw
        client->r0  REQUEST A
        r0->*       PREPARE v0 n2 k1
        *->r0       PREPAREOK v0 n2
        r0->client  REPLY v0 A
        r0->r2      PREDICT v0 c1/0/s1
        r2->r0      PREDICTOK v0 c1/0/s1
        r0->*       PREPARE v0 n3 k2
        *->r0       PREPAREOK v0 n3
        r0->client  REPLY v0 Adraw(r0.1+r2.1)
        ",
    );
}

/// K6: a duplicate of a request that is being predicted is dropped, as it is when it is being prepared; later it is answered again.
#[test]
fn n9_a_duplicate_is_dropped_while_the_first_is_being_predicted() {
    let mut script = Script::serving(3);
    script.play(
        "
        client->r0  REQUEST draw
        r0->r1      PREDICT v0 c1/0/s1
        r0->r2      PREDICT v0 c1/0/s1      lost
        client->r0  REQUEST draw
        nothing     is in flight to r1
        nothing     is in flight to r2
        nothing     is in flight to client
        r1->r0      PREDICTOK v0 c1/0/s1
        everything  arrives
        client->r0  REQUEST draw
        r0->client  REPLY v0 draw(r0.1+r1.1)
        r0          is normal v0 n2 k2 x2
        ",
    );
}
