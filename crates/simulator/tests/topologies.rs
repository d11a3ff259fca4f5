//! Partial partitions: wherever one replica has links both ways with a quorum, the group commits again within four election
//! timeouts, and then the view stays (V7, V9, L-COMMIT, L-STABLE).

use std::time::Duration;

use viewstamped_protocol::Options;
use viewstamped_simulator::Topology;
use viewstamped_simulator::trial::{Trial, Watched};

/// How long the network keeps its shape. Long enough that a group which needs many views would get there.
const WATCH: Duration = Duration::from_secs(8);

/// After how long the view must not change any more: 4 s.
const STABLE: Duration = Duration::from_secs(4);

const SEEDS: u64 = 5;

/// What a backup waits at most before it votes: the unit in which outages are counted.
fn election_timeout() -> Duration {
    let options = Options::default();
    options.suspect_timeout + options.suspect_jitter
}

fn in_timeouts(outage: Duration) -> f64 {
    outage.as_secs_f64() / election_timeout().as_secs_f64()
}

/// Runs an experiment with several seeds; returns the worst outage, in election timeouts.
#[track_caller]
fn worst(name: &str, experiment: impl Fn(u64) -> (Trial, Watched)) -> f64 {
    let mut worst: f64 = 0.0;
    for seed in 0..SEEDS {
        let (trial, watched) = experiment(seed);
        let outage = in_timeouts(watched.longest_outage);
        assert!(outage <= 4.0, "{name}: {outage:.2} timeouts without a commit, {watched:?}\n{}", trial.report());
        assert!(watched.stable_for >= STABLE, "{name}: the view goes on changing, {watched:?}\n{}", trial.report());
        worst = worst.max(outage);
    }
    println!("{name}: progress after {worst:.2} timeouts at most");
    worst
}

/// The network takes a shape under a group that serves in view 0, whose primary is r0.
fn shaped(replicas: usize, seed: u64, topology: &Topology) -> (Trial, Watched) {
    let mut trial = Trial::serving(replicas, seed);
    trial.links(topology);
    let watched = trial.watch(WATCH);
    (trial, watched)
}

#[test]
fn quorum_loss_elects_the_hub_wherever_it_stands_in_the_order() {
    for hub in 0..5 {
        worst(&format!("star, hub r{hub}"), |seed| shaped(5, seed, &Topology::Star(hub)));
    }
}

/// Constrained election: the old primary is gone, the only replica that a quorum can be formed around has an old log.
#[test]
fn a_hub_with_an_old_log_is_brought_up_to_date_and_elected() {
    for hub in 1..5 {
        worst(&format!("constrained, hub r{hub}"), |seed| {
            let mut trial = Trial::serving(5, seed);
            trial.links(&Topology::Edges(
                (0..5)
                    .flat_map(|from| (0..5).map(move |to| (from, to)))
                    .filter(|&(from, to)| from != hub && to != hub)
                    .collect(),
            ));
            trial.run(Duration::from_secs(1));
            trial.links(&Topology::Constrained(hub, 0));
            let watched = trial.watch(WATCH);
            (trial, watched)
        });
    }
}

#[test]
fn a_chain_of_three_serves_whoever_is_in_the_middle() {
    for line in [[0, 1, 2], [0, 2, 1], [1, 0, 2]] {
        let outage = worst(&format!("chain {line:?}"), |seed| shaped(3, seed, &Topology::line(&line)));
        assert!(outage < 0.5, "the primary keeps its quorum, so there is nothing to change");
    }
}

#[test]
fn a_chain_of_five_serves_wherever_the_primary_was() {
    for line in [[0, 1, 2, 3, 4], [1, 0, 2, 3, 4], [1, 2, 0, 3, 4], [0, 4, 2, 1, 3], [3, 2, 4, 1, 0], [0, 2, 3, 4, 1]] {
        worst(&format!("chain {line:?}"), |seed| shaped(5, seed, &Topology::line(&line)));
    }
}

#[test]
fn a_ring_and_two_halves_that_share_one_replica_serve() {
    worst("ring of 5", |seed| shaped(5, seed, &Topology::Ring));
    for bridge in 0..5 {
        worst(&format!("bridge r{bridge}"), |seed| shaped(5, seed, &Topology::Bridge(bridge)));
    }
}
