//! How long clients are not served: the harness behind `benches/outages.sh`. Not a test of every run, because its figures mean
//! something on a quiet machine only, with a release build; what must hold on any machine is tested beside it.

use std::time::{Duration, Instant};

use crate::group::Group;
use crate::hosts::Host;
use crate::load::Load;
use crate::topologies::{chain, constrain, star};

/// One kind of failure, and what it may cost.
struct Scenario {
    name: &'static str,
    replicas: usize,
    /// Lets it fail; the second argument is the primary.
    fail: fn(&mut Group, usize),
    /// Ends what `Network::heal` does not; the second argument is who was primary.
    mend: fn(&mut Group, usize),
    /// How long it lasts at least.
    lasts: Duration,
    median_max: Option<Duration>,
    max: Duration,
    /// Whether the view must stay what it is.
    is_stable: bool,
}

const MS: Duration = Duration::from_millis(1);

/// How long the group is watched after it serves again: the outage may have a second part, and the view may change again.
const AFTERMATH: Duration = Duration::from_secs(1);

impl Scenario {
    const fn primary(name: &'static str, max_ms: u32, fail: fn(&mut Group, usize)) -> Self {
        let max = MS.saturating_mul(max_ms);
        Self { name, replicas: 3, fail, mend: nothing, lasts: Duration::ZERO, median_max: None, max, is_stable: false }
    }

    const fn backup(name: &'static str, fail: fn(&mut Group, usize)) -> Self {
        let (lasts, max) = (Duration::from_secs(2), MS.saturating_mul(100));
        Self { name, replicas: 3, fail, mend: nothing, lasts, median_max: None, max, is_stable: true }
    }

    /// Four times 500 ms.
    const fn topology(name: &'static str, replicas: usize, fail: fn(&mut Group, usize)) -> Self {
        let max = Duration::from_secs(2);
        Self { name, replicas, fail, mend: nothing, lasts: Duration::ZERO, median_max: None, max, is_stable: false }
    }
}

/// A backup of three.
fn backup(primary: usize) -> Host {
    Host::Replica((primary + 1) % 3)
}

fn nothing(_: &mut Group, _: usize) {}

fn scenarios() -> Vec<Scenario> {
    vec![
        Scenario {
            median_max: Some(600 * MS),
            mend: Group::start_replica,
            ..Scenario::primary("primary: kill -9", 1_000, Group::kill)
        },
        Scenario {
            mend: |group, old| group.signal(old, "-CONT"),
            ..Scenario::primary("primary: SIGSTOP", 1_200, |group, primary| group.signal(primary, "-STOP"))
        },
        Scenario::primary("primary: isolated", 1_200, |group, primary| group.network.isolate(Host::Replica(primary))),
        Scenario::primary("primary: mute", 1_200, |group, primary| group.network.make_mute(Host::Replica(primary))),
        Scenario::primary("primary: deaf", 1_500, |group, primary| group.network.make_deaf(Host::Replica(primary))),
        Scenario::backup("backup: deaf", |group, primary| group.network.make_deaf(backup(primary))),
        Scenario::backup("backup: mute", |group, primary| group.network.make_mute(backup(primary))),
        Scenario::backup("backup: flapping at 1 Hz", |group, primary| {
            for _ in 0..3 {
                group.network.isolate(backup(primary));
                std::thread::sleep(500 * MS);
                group.network.heal();
                std::thread::sleep(500 * MS);
            }
        }),
        Scenario::topology("chain of 3, primary at an end", 3, |group, primary| {
            group.network.link_only(&chain(primary, 3));
        }),
        Scenario::topology("star of 5 around the primary", 5, |group, primary| group.network.link_only(&star(primary))),
        Scenario::topology("chain of 5, primary at an end", 5, |group, primary| {
            group.network.link_only(&chain(primary, 5));
        }),
        Scenario::topology("quorum loss (star of 5 around a backup)", 5, |group, primary| {
            group.network.link_only(&star((primary + 2) % 5));
        }),
        Scenario::topology("constrained election of 5", 5, |group, primary| {
            let hub = (primary + 2) % 5;
            group.network.isolate(Host::Replica(hub));
            std::thread::sleep(100 * MS);
            constrain(group, primary, hub);
        }),
    ]
}

/// What one failure has cost.
struct Sample {
    outage: Duration,
    views: u64,
}

#[test]
#[ignore = "measures for minutes, and means something on a quiet machine only: run benches/outages.sh"]
fn outages() {
    let samples: usize = setting("VR_OUTAGES_SAMPLES").map_or(20, |text| text.parse().expect("a number"));
    let wanted = setting("VR_OUTAGES_ONLY").unwrap_or_default();
    println!("load average {}", load_average());
    println!("{:<42} {:>9} {:>9} {:>9} {:>12} {:>7}", "scenario", "median", "max", "goal", "view changes", "");
    for scenario in scenarios().iter().filter(|scenario| scenario.name.contains(&wanted)) {
        let Some(measured) = measure(scenario, samples) else { return };
        report(scenario, measured);
    }
    println!("load average {}", load_average());
}

fn measure(scenario: &Scenario, samples: usize) -> Option<Vec<Sample>> {
    let mut group = Group::start("outages", scenario.replicas, &[])?;
    let load = Load::start(&group);
    let mut measured = Vec::new();
    for _ in 0..samples {
        let view = group.wait_until_normal();
        let (primary, _) = group.primary();
        load.go_on_for(300 * MS);
        let failed = Instant::now();
        (scenario.fail)(&mut group, primary);
        load.wait_for_progress(Instant::now());
        std::thread::sleep(scenario.lasts.saturating_sub(failed.elapsed()));
        load.go_on_for(AFTERMATH);
        let outage = load.longest_gap(failed);
        let (_, now) = group.primary();
        measured.push(Sample { outage, views: now - view });
        group.network.heal();
        (scenario.mend)(&mut group, primary);
    }
    group.wait_until_normal();
    load.assert_nothing_lost(&group);
    Some(measured)
}

fn report(scenario: &Scenario, mut measured: Vec<Sample>) {
    measured.sort_by_key(|sample| sample.outage);
    let median = measured[measured.len() / 2].outage;
    let max = measured.last().expect("samples").outage;
    let views = measured.iter().map(|sample| sample.views).max().expect("samples");
    let is_met = max <= scenario.max
        && scenario.median_max.is_none_or(|most| median <= most)
        && !(scenario.is_stable && views > 0);
    println!(
        "{:<42} {:>9} {:>9} {:>9} {:>12} {:>7}",
        scenario.name,
        milliseconds(median),
        milliseconds(max),
        milliseconds(scenario.max),
        views,
        if is_met { "met" } else { "MISSED" }
    );
}

fn milliseconds(duration: Duration) -> String {
    format!("{} ms", duration.as_millis())
}

fn setting(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

fn load_average() -> String {
    std::fs::read_to_string("/proc/loadavg").unwrap_or_default().trim().to_owned()
}
