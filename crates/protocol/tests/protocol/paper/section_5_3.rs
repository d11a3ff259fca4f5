//! 5.3, view changes with small messages.

use crate::common::Group;
use crate::script::Script;
use viewstamped_protocol::message::Body;
use viewstamped_protocol::*;

/// "A reasonable way to get good behavior most of the time is for replicas to include a suffix of their log in their DOVIEWCHANGE
/// messages. The amount sent can be small": bounded in bytes, and at least the topmost entry (V6).
#[test]
fn a_do_view_change_carries_a_bounded_suffix_of_the_log() {
    for (bytes_max, expected) in [(0, 1), (450, 2), (usize::MAX, 21)] {
        let options = Options { do_view_change_bytes_max: bytes_max, ..Options::default() };
        let (mut group, session) = Group::serving_with(3, options);
        for number in 1..=20 {
            group.execute(0, session, number, "x");
        }
        group.enter_view_change(2, 1);
        let Body::DoViewChange(promise) = group.take(2, 1, "DOVIEWCHANGE").body else { unreachable!() };
        assert_eq!((promise.op.0, promise.suffix.len()), (21, expected), "{bytes_max} bytes");
        assert_eq!(promise.suffix.last().map(|entry| entry.op().0), Some(21), "the latest entries");
    }
}

/// "the most likely case is that the new primary is up to date": then no further message is needed.
#[test]
fn a_new_primary_that_is_up_to_date_asks_for_nothing() {
    let mut script = Script::serving_with(3, Options { do_view_change_bytes_max: 0, ..Options::default() });
    script.play(
        "client->r0  REQUEST A
         client->r0  REQUEST B
         everything arrives
         everything is lost
         r1 enters v1
         r2 enters v1
         r2->r1  DOVIEWCHANGE v1 n3 k1 v'=0 l=[n3@v0]
         r1 is normal v1 n3
         r1->*   STARTVIEW v1 n3           lost",
    );
    assert_eq!(script.in_flight().iter().find(|line| line.contains("GETLOG")), None);
}

/// "Occasionally, this information won't be enough; in this case the primary can ask for more information": for exactly what lies
/// between its own committed log and the suffix.
#[test]
fn a_new_primary_that_lags_asks_for_what_the_suffix_leaves_out() {
    let mut script = Script::serving_with(3, Options { do_view_change_bytes_max: 0, ..Options::default() });
    script.play(
        "client->r0  REQUEST A
         client->r0  REQUEST B
         client->r0  REQUEST C
         r0->r2  PREPARE v0 n2
         r0->r2  PREPARE v0 n3
         r0->r2  PREPARE v0 n4
         everything is lost
         r1 enters v1
         r2 enters v1
         r2->r1  DOVIEWCHANGE v1 n4 k1 v'=0 l=[n4@v0]
         r1 is view-change v1 n1
         r1->r2  GETLOG v1 v'=0 n2..n3
         r2->r1  LOGCHUNK v1 v'=0 after=n1 l=[n2@v0..n3@v0]
         r1 is normal v1 n4
         r1 holds A@v0 B@v0 C@v0",
    );
}
