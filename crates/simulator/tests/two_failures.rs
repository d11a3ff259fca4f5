//! Five replicas survive any two failures: every pair, at once or one after the other, under load. A crash takes all memory.

use std::time::Duration;

use viewstamped_simulator::Restart;
use viewstamped_simulator::trial::Trial;

/// How long a crashed pair stays down.
const DOWN: Duration = Duration::from_secs(4);

/// How long two replicas may take to recover under load.
const RECOVERY: Duration = Duration::from_secs(4);

/// The longest time without service: both, the primary and the one that would be next, may have crashed.
const OUTAGE_MAX: Duration = Duration::from_millis(1_500);

fn pairs() -> impl Iterator<Item = (usize, usize)> {
    (0..5).flat_map(|first| (0..5).filter(move |second| *second != first).map(move |second| (first, second)))
}

/// Everybody has everything, and all answers together are linearizable.
#[track_caller]
fn assert_whole(mut trial: Trial) {
    trial.quiesce();
    trial.run(Duration::from_secs(2));
    for place in 0..5 {
        assert!(trial.is_level(place), "r{place} has fallen behind\n{}", trial.report());
    }
    trial.check_history();
}

#[test]
fn any_two_may_crash_at_once_and_come_back() {
    let mut longest = Duration::ZERO;
    for (seed, (first, second)) in (0..).zip(pairs().filter(|(first, second)| first < second)) {
        let mut trial = Trial::serving(5, seed);
        trial.crash(first);
        trial.crash(second);
        let watched = trial.watch(DOWN);
        assert!(watched.longest_outage < OUTAGE_MAX, "r{first}, r{second}: {watched:?}\n{}", trial.report());
        assert!(watched.committed > 500, "r{first}, r{second}: {watched:?}\n{}", trial.report());
        longest = longest.max(watched.longest_outage);
        trial.start(first, Restart::Surviving);
        trial.start(second, Restart::Surviving);
        trial.run(RECOVERY);
        assert_whole(trial);
    }
    println!("two crashes at once: {longest:?} without a commit at most");
}

/// The second crashes while the first recovers, and neither has so much as its identity left.
#[test]
fn any_two_may_lose_their_directories_one_while_the_other_recovers() {
    for (seed, (first, second)) in (100..).zip(pairs()) {
        let mut trial = Trial::serving(5, seed);
        trial.crash(first);
        trial.run(Duration::from_millis(50 * (seed % 12)));
        trial.start(first, Restart::Wiped);
        trial.run(Duration::from_micros(700 * (seed % 7)));
        trial.crash(second);
        let watched = trial.watch(DOWN);
        assert!(watched.longest_outage < OUTAGE_MAX, "r{first}, r{second}: {watched:?}\n{}", trial.report());
        let restart = trial.reformatted();
        trial.start(second, restart);
        trial.run(RECOVERY);
        assert_whole(trial);
    }
}

/// Pair after pair: nobody keeps what it knew at the beginning, and nothing is lost.
#[test]
fn pairs_may_crash_in_turn_until_everybody_has_forgotten_everything() {
    for seed in 200..203 {
        let mut trial = Trial::serving(5, seed);
        for (first, second) in [(0, 1), (2, 3), (4, 0), (1, 2), (3, 4)] {
            trial.crash(first);
            trial.crash(second);
            let watched = trial.watch(DOWN);
            assert!(watched.longest_outage < OUTAGE_MAX, "r{first}, r{second}: {watched:?}\n{}", trial.report());
            trial.start(first, Restart::Surviving);
            trial.start(second, Restart::Wiped);
            trial.run(RECOVERY);
        }
        assert_whole(trial);
    }
}
