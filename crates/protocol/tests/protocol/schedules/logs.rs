//! Which log a view begins with, and what may change a log (4.2, 5.3, 8.1). Views 0, 1, 2 are led by r0, r1, r2, and so on.

use crate::script::Script;
use viewstamped_protocol::Options;

/// V1 (4.2 step 5): "they replace their log with the one in the message", at every STARTVIEW. A second copy takes away what was acknowledged since the first.
#[test]
fn v1_a_second_copy_of_a_start_view_takes_nothing_away() {
    let mut script = Script::serving(3);
    script.play(
        "
        r2          enters v1
        r2->r1      DOVIEWCHANGE v1 n1
        r1->r2      STARTVIEW v1 n1 k1 l=[]    copied (m)
        r1->r0      STARTVIEW                  lost
        r2->r1      PREPAREOK v1 n1
        client->r1  REQUEST X
        r1->r0      PREPARE v1 n2 k1           lost
        r1->r2      PREPARE v1 n2 k1
        r2->r1      PREPAREOK v1 n2
        r1->client  REPLY v1 X
        m           arrives
        r2          is normal v1 n2
        // r1 dies. View 2 is of r0, which never heard of X, and of r2.
        r1          crashes
        r0          enters v2
        r0->r2      DOVIEWCHANGE v2 n1
        r2          is normal v2 n2
        r2          holds X@v1
        r2->r0      STARTVIEW v2 n2
        r0->r2      PREPAREOK v2 n2
        r2          has executed X
        ",
    );
}

/// V5. Entries carry the view that gave them their number, and it is tempting to let the latest such view win. r4 alone logs B
/// in view 4; A of view 0 commits in view 5. B's stamp is later, A's log is.
#[test]
fn v5_the_log_of_the_latest_view_wins_not_the_latest_entry() {
    let mut script = Script::serving(5);
    script.play(
        "
        client->r0  REQUEST A
        r0->r1      PREPARE v0 n2 k1
        everything  is lost
        // View 4 is of r2, r3 and r4. r4 logs B, and nobody hears of it.
        r2          enters v4
        r3          enters v4
        r2->r4      DOVIEWCHANGE v4 n1
        r3->r4      DOVIEWCHANGE v4 n1
        r4          is normal v4 n1
        client->r4  REQUEST B
        r4          holds B@v4
        everything  is lost
        r4          is cut off
        // View 5 is of r0, r1 and r2: A commits in it.
        r1          enters v5
        r2          enters v5
        r1->r0      DOVIEWCHANGE v5 n2 k1 v'=0
        r2->r0      DOVIEWCHANGE v5 n1 k1 v'=0
        r0->r1      STARTVIEW v5 n2
        r0->r2      STARTVIEW v5 n2
        r1->r0      PREPAREOK v5 n2
        r2->r0      PREPAREOK v5 n2
        r0->client  REPLY v5 A
        everything  is lost
        r0          crashes
        the network heals
        // View 9 is of r1, r2 and r4.
        r1          enters v9
        r2          enters v9
        r1->r4      DOVIEWCHANGE v9 n2 k1 v'=5
        r2->r4      DOVIEWCHANGE v9 n2 k1 v'=5
        r4          is normal v9 n2
        r4          holds A@v0
        everything  is lost
        r0          recovers
        20 s        pass
        everyone    is normal
        everyone    has executed A
        ",
    );
}

/// V5, the whole rule (4.2 step 3): "selects as the new log the one contained in the message with the largest v'; if several
/// messages have the same v' it selects the one among them with the largest n."
#[test]
fn v5_of_equal_log_views_the_longest_log_wins() {
    let mut script = Script::serving(3);
    script.play(
        "
        client->r0  REQUEST A
        r0->r2      PREPARE v0 n2 k1
        r2->r0      PREPAREOK v0 n2
        r0->client  REPLY v0 A
        everything  is lost
        r0          crashes
        r2          enters v1
        r2->r1      DOVIEWCHANGE v1 n2 k1 v'=0
        r1          is normal v1 n2
        r1          holds A@v0
        ",
    );
}

/// What r1 and r2 of the next schedules have: r1 logged B in view 1, alone; r2 logged C and D in view 2, and r0 has them, too.
const DIVERGED: &str = "
    r0          enters v1
    r3          enters v1
    r0->r1      DOVIEWCHANGE v1 n1
    r3->r1      DOVIEWCHANGE v1 n1
    client->r1  REQUEST B
    r1          holds B@v1
    everything  is lost
    r0          enters v2
    r3          enters v2
    r0->r2      DOVIEWCHANGE v2 n1
    r3->r2      DOVIEWCHANGE v2 n1
    r2->r0      STARTVIEW v2 n1
    r2->r3      STARTVIEW v2 n1
    everything  is lost
    client->r2  REQUEST C
    client->r2  REQUEST D
    r2->r0      PREPARE v2 n2 k1
    r2->r0      PREPARE v2 n3 k1
    r2->r3      PREPARE v2 n2 k1
    r2->r3      PREPARE v2 n3 k1
    *->r2       PREPAREOK
    r2->client  REPLY v2 C
    r2->client  REPLY v2 CD
    everything  is lost
    r2          crashes
    // View 6 is of r1, its primary, r0 and r4. A DOVIEWCHANGE has room for one entry.
    r0          enters v6
    r4          enters v6
    r0->r1      DOVIEWCHANGE v6 n3 k1 v'=2 l=[n3@v2]
    r4->r1      DOVIEWCHANGE v6 n1 k1 v'=0 l=[n1@v0]
    r1->r0      GETLOG v6 v'=2 n2..n2
    ";

fn one_entry_in_a_do_view_change() -> Options {
    Options { do_view_change_bytes_max: 0, ..Script::options() }
}

/// V6 (5.3): a suffix that fits the op-numbers of another log, and not its entries. "The primary can ask for more".
#[test]
fn v6_a_suffix_is_not_put_on_top_of_another_log() {
    let mut script = Script::serving_with(5, one_entry_in_a_do_view_change());
    script.play(DIVERGED);
    script.play(
        "
        r1          is view-change v6 n2 k1
        r1          holds B@v1
        r0->r1      LOGCHUNK v6 v'=2 after=n1 l=[n2@v2]
        r1          is normal v6 n3
        r1          holds C@v2 D@v2
        everything  is lost
        r2          recovers
        20 s        pass
        everyone    is normal
        everyone    has executed CD
        ",
    );
}

/// V6: the winner dies before it has answered. r1 still has the log that it promised, and the next view finds another copy.
#[test]
fn v6_a_log_that_cannot_be_completed_changes_nothing() {
    let mut script = Script::serving_with(5, one_entry_in_a_do_view_change());
    script.play(DIVERGED);
    script.play(
        "
        r0          crashes
        r1          is view-change v6 n2 k1 x1 v'=1
        r1          holds B@v1
        r1          times out
        r1->r3      STARTVIEWCHANGE v6 candidate=v7 votes=[r1]
        everything  is lost
        // View 8 is led by r3, which has C and D.
        r1          enters v8
        r4          enters v8
        r1->r3      DOVIEWCHANGE v8 n2 k1 v'=1
        r4->r3      DOVIEWCHANGE v8 n1 k1 v'=0
        r3          is normal v8 n3
        r3          holds C@v2 D@v2
        everything  is lost
        r0          recovers
        r2          recovers
        20 s        pass
        everyone    is normal
        everyone    has executed CD
        ",
    );
}

/// V11: r2 has promised its log to view 1 when the answer to an older question arrives. Applied, it would change what the promise
/// was about.
#[test]
fn v11_a_late_new_state_does_not_change_what_was_promised() {
    let mut script = Script::serving(3);
    script.play(
        "
        client->r0  REQUEST A
        client->r0  REQUEST B
        r0->r2      PREPARE v0 n2 k1        lost
        r0->r2      PREPARE v0 n3 k1
        r2          waits 10 ms             // It waits for n2 that long, and then asks.
        r2->r0      GETSTATE v0 target=v0 n'=1
        r0->r2      NEWSTATE v0 n3 k1 after=n1 l=[n2@v0..n3@v0]   late (m)
        r2          enters v1
        r2->r1      DOVIEWCHANGE v1 n1 k1 v'=0
        m           arrives
        r2          is view-change v1 n1
        r2          holds nothing
        ",
    );
}

/// V12 (8.1): "it is crucial that replicas stop accepting PREPARE messages from earlier views once they start the view change
/// protocol".
#[test]
fn v12_no_prepare_of_the_old_view_is_taken_after_the_promise() {
    let mut script = Script::serving(3);
    script.play(
        "
        client->r0  REQUEST A
        r0->r2      PREPARE v0 n2 k1        late (m)
        r0->r1      PREPARE v0 n2 k1        lost
        r2          enters v1
        r2->r1      DOVIEWCHANGE v1 n1 k1 v'=0                             lost
        m           arrives
        r2          is view-change v1 n1
        r2->r0      STARTVIEWCHANGE v1 candidate=v1 votes=[r0 r2] confirmed     lost    // r0 is told to join.
        nothing     is in flight            // No PREPAREOK.
        ",
    );
}

/// V12: back in normal status the replica acknowledges again, but only in the new view.
#[test]
fn v12_an_old_prepare_is_not_taken_in_the_new_view_either() {
    let mut script = Script::serving(3);
    script.play(
        "
        client->r0  REQUEST A
        r0->r2      PREPARE v0 n2 k1        late (m)
        everything  is lost
        r2          enters v1
        r2->r1      DOVIEWCHANGE v1 n1
        r1->r2      STARTVIEW v1 n1
        everything  is lost
        m           arrives
        r2          is normal v1 n1
        r2->r0      VIEWHINT v1             lost    // r0 is told that its view is over.
        nothing     is in flight
        ",
    );
}

/// V15 (4.3): r2 holds what makes A committed, loses its memory, and hears of a view change. It must not promise a log that it
/// does not have.
#[test]
fn v15_a_recovering_replica_joins_no_view_change() {
    let mut script = Script::serving(3);
    script.play(
        "
        client->r0  REQUEST A
        r0->r2      PREPARE v0 n2 k1
        r2->r0      PREPAREOK v0 n2
        r0->client  REPLY v0 A
        everything  is lost
        r2          crashes
        r2          recovers
        everything  is lost
        r0          is cut off
        r1          enters v1
        r1          waits 100 ms            // Then it says so again.
        r1->r2      STARTVIEWCHANGE v1 candidate=v1 votes=[r0 r1] confirmed
        r2          is recovering v0 n0
        r1          is view-change v1
        everything  is lost
        the network heals
        20 s        pass
        everyone    is normal
        everyone    has executed A
        ",
    );
}
