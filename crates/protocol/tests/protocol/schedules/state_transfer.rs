//! State transfer (5.2). Views 0, 1, 2 are led by r0, r1, r2.

use crate::script::Script;

/// T1. The paper cuts the log back to the commit-number when it hears of a later view, and then asks for the rest. r1 has
/// acknowledged A, hears of view 2, is not answered, and goes on to view 3: cut back, its log would win with nothing in it.
#[test]
fn t1_what_was_acknowledged_is_kept_until_its_replacement_is_complete() {
    let mut script = Script::serving(3);
    script.play(
        "
        // r0 commits A with r1, and logs B alone.
        client->r0  REQUEST A
        r0->r1      PREPARE v0 n2 k1
        r1->r0      PREPAREOK v0 n2
        r0->client  REPLY v0 A
        client->r0  REQUEST B
        everything  is lost
        // r2 starts view 2 with the log of r0, which has promised it to view 3 as well by then.
        r0          enters v2
        r0->r2      DOVIEWCHANGE v2 n3 k2 v'=0  late (m)
        r0          enters v3
        m           arrives
        r2          is normal v2 n3 k2 x2 v'=2
        everything  is lost
        // r1 missed that, and hears of the view by its first COMMIT.
        r2          waits 1 ms
        r2->r1      COMMIT v2 n3 k2
        r1          is normal v0 n2 k1 x1 v'=0
        r1->r2      GETSTATE v0 target=v2       lost
        everything  is lost
        // View 3 is of r0 and r1.
        r1          enters v3
        r1->r0      DOVIEWCHANGE v3 n2 k1 v'=0
        r0          is normal v3 n3
        r0          holds A@v0 B@v0
        everything  is lost
        the network heals
        20 s        pass
        everyone    is normal
        everyone    has executed AB
        ",
    );
}

/// T2. The answer to a question is late; meanwhile PREPAREs brought the same and more. The paper would append it once more, or
/// take its op-number for the own one and drop what it has acknowledged.
#[test]
fn t2_a_late_new_state_takes_nothing_away_and_repeats_nothing() {
    let mut script = Script::serving(3);
    script.play(
        "
        client->r0  REQUEST A
        client->r0  REQUEST B
        r0->r1      PREPARE v0 n2       late (p2)
        r0->r1      PREPARE v0 n3
        r1          waits 10 ms
        r1->r0      GETSTATE v0 target=v0 n'=1
        r0->r1      NEWSTATE v0 n3 k1 after=n1 l=[n2@v0..n3@v0]    late (m)
        p2          arrives
        client->r0  REQUEST C
        r0->r1      PREPARE v0 n4
        r1->r0      PREPAREOK v0 n3
        r1->r0      PREPAREOK v0 n4
        r0->*       PREPARE             lost
        m           arrives
        m           arrives
        r1          is normal v0 n4
        r1          holds A@v0 B@v0 C@v0
        ",
    );
}

/// T2. r1 asks a backup that has less than r1 has acknowledged by the time the answer comes.
#[test]
fn t2_an_answer_from_a_replica_that_is_behind_takes_nothing_away() {
    let mut script = Script::serving(3);
    script.play(
        "
        client->r0  REQUEST A
        client->r0  REQUEST B
        r0->r2      PREPARE v0 n2
        r0->r1      PREPARE v0 n2       late (p2)
        r0->r1      PREPARE v0 n3
        r1          waits 10 ms
        r1->r0      GETSTATE            lost
        r1          waits 100 ms        // Then it asks the next member.
        r1->r2      GETSTATE v0 target=v0 n'=1
        r2->r1      NEWSTATE v0 n2 k1 after=n1 l=[n2@v0]    late (m)
        p2          arrives
        r1->r0      PREPAREOK v0 n3
        r0->client  REPLY v0 A
        r0->client  REPLY v0 AB
        m           arrives
        r1          is normal v0 n3
        r1          holds A@v0 B@v0
        ",
    );
}

/// T3. By the time r2 asks for the log of view 0, everybody is in view 1. The paper's replicas would not answer.
#[test]
fn t3_whoever_asks_for_an_old_view_is_told_of_the_new_one() {
    let mut script = Script::serving(3);
    script.play(
        "
        client->r0  REQUEST A
        client->r0  REQUEST B
        r0->r1      PREPARE v0 n2
        r0->r1      PREPARE v0 n3
        r0->r2      PREPARE v0 n2       lost
        r0->r2      PREPARE v0 n3
        r2          waits 10 ms
        r2->r0      GETSTATE v0 target=v0 n'=1      late (m)
        everything  is lost
        r0          enters v1
        r0->r1      DOVIEWCHANGE v1 n3
        r1->r0      STARTVIEW v1 n3
        everything  is lost
        m           arrives
        r0->r2      VIEWHINT v1
        r2->r0      GETSTATE v0 target=v1
        r0->r2      NEWSTATE v1 n3
        r2          is normal v1 n3
        ",
    );
}

/// T3. Who does not answer is not asked for ever.
#[test]
fn t3_the_next_member_is_asked_when_one_does_not_answer() {
    let mut script = Script::serving(5);
    script.play(
        "
        client->r0  REQUEST A
        client->r0  REQUEST B
        r0->r4      PREPARE v0 n2       lost
        r0->*       PREPARE v0
        everything  from r0 is lost
        r4          waits 10 ms
        r4->r0      GETSTATE v0 target=v0 n'=1      lost
        r4          waits 100 ms
        r4->r1      GETSTATE v0 target=v0 n'=1      lost
        r4          waits 100 ms
        r4->r2      GETSTATE v0 target=v0 n'=1
        r2->r4      NEWSTATE v0 n3 k1 after=n1 l=[n2@v0..n3@v0]
        r4          is normal v0 n3
        ",
    );
}
