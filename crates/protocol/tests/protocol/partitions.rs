//! Partial partitions: whoever can form a quorum around one replica goes on, and whoever is cut off from the primary alone is
//! not forgotten (V7, V9, L-COMMIT).

use crate::common::{Group, ms};
use viewstamped_protocol::*;

/// Every view-change timeout, doubled, of a round through all members.
const ONE_ROUND_MS: u64 = 20_000;

/// V9: everyone is linked to r4 only, and r4 to everyone. No quorum can be formed but around r4, which has to pass the votes
/// on, and the views have to go round until r4 is their primary.
#[test]
fn a_star_elects_its_hub() {
    let (mut group, session) = Group::serving(5);
    assert_eq!(group.execute(0, session, 1, "a"), "a");
    group.connect_only(&[(4, 0), (4, 1), (4, 2), (4, 3)]);
    group.run_for(ms(ONE_ROUND_MS));
    assert_eq!(group.primary(), 4);
    assert_eq!(group.execute(4, session, 2, "b"), "ab");
    let view = group.view(4);
    group.run_for(ms(ONE_ROUND_MS));
    assert_eq!(group.view(4), view, "the hub stays");
    assert_eq!(group.journal(1), "ab");
}

/// V9: the first view change cannot know who has links with a quorum. During it all say whom they hear, so the second goes to the
/// hub, whatever views lie between. It used to take a timeout for each of them, and each twice as long as the one before.
#[test]
fn the_view_after_one_that_failed_is_the_hubs() {
    for hub in 1..5 {
        let (mut group, _) = Group::serving(5);
        let links: Vec<(u64, u64)> = (0..5).filter(|id| *id != hub).map(|id| (hub, id)).collect();
        group.connect_only(&links);
        group.run_for(ms(1_000));
        assert_eq!((group.primary(), group.status(hub)), (hub, StatusName::Normal), "within 1 s, hub {hub}");
        assert_eq!(group.view(hub), hub, "in its first turn");
    }
}

/// V9, quorum loss: the old primary r0 is linked to r1 alone, and so are the others. r1 hears the primary and suspects nobody,
/// but only r1 can collect the votes of the rest.
#[test]
fn a_hub_that_still_hears_the_old_primary_gives_way_to_a_quorum_of_others() {
    let (mut group, session) = Group::serving(5);
    assert_eq!(group.execute(0, session, 1, "a"), "a");
    group.connect_only(&[(1, 0), (1, 2), (1, 3), (1, 4)]);
    group.run_for(ms(ONE_ROUND_MS));
    assert_eq!(group.primary(), 1);
    assert_eq!(group.execute(1, session, 2, "b"), "ab");
}

/// V9, constrained election: the only replica that a quorum can be formed around has an old log. In VR it is sent the log.
#[test]
fn a_hub_with_an_old_log_is_sent_the_log() {
    let (mut group, session) = Group::serving(5);
    group.isolate(2);
    for number in 1..=20 {
        group.execute(0, session, number, "x");
    }
    group.connect_only(&[(2, 0), (2, 1), (2, 3), (2, 4)]);
    group.run_for(ms(ONE_ROUND_MS));
    assert_eq!(group.primary(), 2);
    assert_eq!(group.execute(2, session, 21, "y"), "x".repeat(20) + "y");
}

/// V9, chained: r0 and r2 cannot talk, r1 talks to both. The primary and r1 are a quorum, so the view is stable, whoever of the
/// two ends is primary; and the other end is fed through r1.
///
/// It was not: r2 voted for ever, and whether normal or in a view change, it never asked anyone for the log.
#[test]
fn a_replica_cut_off_from_the_primary_alone_follows_through_another() {
    for is_in_view_change in [false, true] {
        let (mut group, session) = Group::serving(3);
        if is_in_view_change {
            // r2 learns that view 3, of r0, is to be started, and not that it was.
            group.enter_view_change(0, 3);
            group.enter_view_change(2, 3);
        }
        group.cut_between(0, 2);
        group.run_for(ms(1_000));
        let view = group.view(0);
        assert_eq!((group.primary(), group.view(2)), (0, view));
        assert_eq!(group.status(2), StatusName::Normal, "r2 hears from r1 that the view has started");
        assert_eq!(group.execute(0, session, 1, "a"), "a");
        group.run_for(ms(5_000));
        assert_eq!(group.view(0), view, "stable");
        assert_eq!(group.journal(2), "a", "in a view change: {is_in_view_change}");
    }
}
