//! 4.5, recovery of a client. Sessions take the place of bare request-numbers (K1); the rest is in sessions.rs and the client's
//! own tests.

use crate::common::{CLIENT, CLUSTER, Group};
use bytes::Bytes;
use viewstamped_protocol::message::{ClientReply, ClientRequest};
use viewstamped_protocol::*;

/// "It fetches its latest number from the replicas": from the primary and through the log (K1), not from one that may lag.
#[test]
fn the_latest_number_is_fetched_through_the_log() {
    let (mut group, session) = Group::serving(3);
    group.execute(0, session, 8, "a");
    group.replies.clear();
    let resume = |group: &mut Group, to| group.request(to, ClientRequest::Resume { session, nonce: Nonce(1) });
    resume(&mut group, 1);
    assert!(matches!(group.replies.pop().unwrap().body, ClientReply::Redirect { .. }), "a backup does not know");
    resume(&mut group, 0);
    assert!(group.replies.is_empty(), "not before a quorum has it");
    group.settle();
    let ClientReply::Resumed { numbers, .. } = group.replies.pop().unwrap().body else { panic!("not resumed") };
    assert_eq!(numbers[0], RequestNumber(8));
}

/// "adds 2 to this value": the number between belongs to the request "it sent before it failed [that] is still in transit". Should
/// that arrive after all, it is ordered before the new one or not at all, and takes no number from it.
#[test]
fn the_number_between_belongs_to_the_request_still_in_transit() {
    for in_transit_arrives_first in [true, false] {
        let (mut group, old) = Group::serving(3);
        group.execute(0, old, 8, "a");
        let payload = |text: &'static str| Bytes::from_static(text.as_bytes());
        let in_transit = FromClient {
            cluster: CLUSTER,
            epoch: EpochNumber::ZERO,
            client: CLIENT,
            body: ClientRequest::Operation { session: old, slot: 0, number: RequestNumber(9), payload: payload("b") },
        };
        if in_transit_arrives_first {
            group.input(0, Input::Client(in_transit.clone()));
        }
        group.replies.clear();
        group.request(0, ClientRequest::Resume { session: old, nonce: Nonce(1) });
        group.settle();
        let Some(ClientReply::Resumed { session, numbers, .. }) = group.replies.pop().map(|reply| reply.body) else {
            panic!("not resumed")
        };
        let next = numbers[0].0 + 2;
        group.input(0, Input::Client(in_transit));
        let expected = if in_transit_arrives_first { "abc" } else { "ac" };
        assert_eq!(group.execute(0, session, next, "c"), expected);
    }
}
