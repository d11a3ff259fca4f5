//! 6.2, batching.

use crate::script::Script;
use viewstamped_protocol::Options;
use viewstamped_protocol::message::Body;

/// "When the primary isn't busy it processes requests as soon as they arrive": the PREPARE leaves with the request that caused it,
/// and waits for no timer.
#[test]
fn a_request_that_arrives_alone_leaves_at_once() {
    let mut script = Script::serving(3);
    for (place, request) in
        ["client->r0  REQUEST A", "client->r0  REQUEST B", "client->r0  REQUEST C"].iter().enumerate()
    {
        script.play(request);
        let runs = script.group.network.iter().filter_map(|(to, message)| match &message.body {
            Body::Prepare(prepare) if to.0 == 1 => Some(prepare.entries.len()),
            _ => None,
        });
        assert_eq!(
            runs.collect::<Vec<_>>(),
            vec![1; place + 1],
            "none waited for another, nor for its acknowledgement"
        );
    }
}

/// "PBFT proposed the use of batching [...] the primary collects a bunch of requests and then runs the protocol for all of them at
/// once." "When it is busy, it batches": what waited while the pipeline was full leaves together, as soon as there is room.
#[test]
fn what_waited_while_the_primary_was_busy_is_prepared_at_once() {
    let mut script = Script::serving_with(3, Options { pipeline_ops_max: 3, ..Options::default() });
    script.play(
        "client->r0  REQUEST A
         client->r0  REQUEST B
         client->r0  REQUEST C
         client->r0  REQUEST D
         client->r0  REQUEST E
         client->r0  REQUEST F
         r0 is normal v0 n4
         r0->r1  PREPARE v0 n2 k1
         r0->r1  PREPARE v0 n3 k1
         r0->r1  PREPARE v0 n4 k1
         r1->r0  PREPAREOK v0 n2           lost
         r1->r0  PREPAREOK v0 n3           lost
         r1->r0  PREPAREOK v0 n4
         r0->r1  PREPARE v0 n5..n7 k4
         r1->r0  PREPAREOK v0 n7
         r0 has executed ABCDEF",
    );
}
