//! What a seed decides before the first event: the group, its limits, and which faults this run knows (a swarm).

use std::collections::BTreeSet;
use std::time::Duration;

use viewstamped_protocol::random::Random;
use viewstamped_protocol::{ClientOptions, ClusterOptions, Options};

use crate::dimension::{Dimension, Rate};
use crate::filter::Filter;
use crate::message_kind::{CRUCIAL, KINDS, Kind};
use crate::random::Draw;
use crate::topology::Topology;

/// What the user of the simulator decides; everything else comes from the seed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The size of the group. Default: the seed chooses among 3, 4, 5 and 7.
    pub replicas: Option<usize>,
    /// The most events of the safety phase. Default 40,000: a tenth of a second of computing.
    pub events_max: u64,
    /// The most requests of all clients together in the safety phase. Default 1,200: what linearizability is quick to check.
    pub requests_max: u64,
    /// The most steps of the search for a linearization, for each key. Default 200,000; beyond it the key counts as undecided.
    pub linearization_steps_max: u64,
    /// A shape of the links that stays from when the group has begun until the faults end. If it has a hub, clients must be
    /// served before it is mended. Default: shapes come and go as the seed decides.
    pub topology: Option<Topology>,
    /// How long that shape stays before the links are whole for as long, and so on. Default: it stays.
    pub flapping: Option<Duration>,
    /// The replicas that clients reach, as bits, until the faults end. Default: all, but for cuts that the seed decides on.
    pub clients_reach: Option<u32>,
    /// Messages that are lost until the faults end, beside those the seed loses.
    pub drops: Vec<Filter>,
    /// Faults of machines, links and clients that do not happen, by their numbers in the order of time.
    pub spared: BTreeSet<u64>,
    /// Dimensions of failure that are not left to the seed.
    pub rates: Vec<(Dimension, Rate)>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            replicas: None,
            events_max: 40_000,
            requests_max: 1_200,
            linearization_steps_max: 200_000,
            topology: None,
            flapping: None,
            clients_reach: None,
            drops: Vec::new(),
            spared: BTreeSet::new(),
            rates: Vec::new(),
        }
    }
}

/// Everything a seed decides about a run before it begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scenario {
    /// The size of the group.
    pub replicas: usize,
    /// How many clients there are.
    pub clients: usize,
    /// The longest pause of a client between two requests.
    pub think_time: Duration,
    /// How long the safety phase lasts at most.
    pub safety_time: Duration,
    /// How long a replica lets inputs gather before it handles them in one turn; zero handles each at once.
    pub turn_time: Duration,
    /// The longest an identity takes to become durable.
    pub save_time: Duration,
    /// The longest it takes to compute the root of a checkpoint.
    pub hash_time: Duration,
    /// Within which time the members of the new group start.
    pub start_time: Duration,
    /// How far a replica's clock runs too fast or too slow at most, in parts per million.
    pub clock_drift_ppm: u64,
    /// What the network does to messages.
    pub network: NetworkFaults,
    /// What happens to machines and links.
    pub faults: Faults,
    /// The options of each replica.
    pub options: Vec<Options>,
    /// The options all replicas share.
    pub cluster_options: ClusterOptions,
    /// The options of the clients.
    pub client_options: ClientOptions,
}

/// What the network does to single messages. Chances are in 65,536.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NetworkFaults {
    /// The shortest delay.
    pub latency_min: Duration,
    /// The longest ordinary delay; a wide range reorders.
    pub latency_max: Duration,
    /// The chance that a message is lost.
    pub loss: u32,
    /// The chance that a message arrives twice.
    pub duplication: u32,
    /// The chance that a message takes up to `slow_max`.
    pub slow: u32,
    /// The longest delay of a slow message.
    pub slow_max: Duration,
    /// The chance that a message is followed by a copy that arrives up to five minutes later.
    pub echo: u32,
    /// The chance that a message is followed by a copy from another cluster.
    pub foreign: u32,
    /// The chance that a frame is damaged on the way.
    pub corruption: u32,
    /// The chance that a message reaches another replica than it was sent to.
    pub misrouting: u32,
    /// The chance that who writes to a replica that is down learns of it.
    pub refusal: u32,
    /// A kind of message that is slow much more often than others, and its chance.
    pub slow_kind: Option<(Kind, u32)>,
    /// Messages of a kind or a size that are lost much more often than others.
    pub lost: Option<Filter>,
}

/// What happens to machines and links; an absent interval turns the fault off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Faults {
    /// The mean time between two crashes.
    pub crash: Option<Duration>,
    /// How many crashes are tried while the group begins.
    pub early_crashes: u64,
    /// The longest a crashed replica stays down.
    pub restart_max: Duration,
    /// The chance, in 65,536, that a crashed replica also loses its identity file.
    pub wipe: u32,
    /// The mean time between two changes of the network's topology.
    pub partition: Option<Duration>,
    /// The longest a topology lasts.
    pub partition_max: Duration,
    /// The chance, in 65,536, that a topology comes and goes while it lasts.
    pub flapping: u32,
    /// The mean time between two pauses of a replica.
    pub pause: Option<Duration>,
    /// The longest pause.
    pub pause_max: Duration,
    /// The mean time between two crashes of a client.
    pub client_crash: Option<Duration>,
    /// The mean time between two moments at which a client loses some replicas.
    pub client_cut: Option<Duration>,
    /// The mean time between two jumps of a replica's wall clock.
    pub clock_jump: Option<Duration>,
    /// The mean time between two moments at which a replica's service is replaced by another, which has nothing but the state.
    pub service_drop: Option<Duration>,
}

impl Scenario {
    /// Draws the scenario of a seed.
    #[must_use]
    pub fn draw(random: &mut Random, settings: &Settings) -> Self {
        let replicas = settings.replicas.unwrap_or_else(|| *random.pick(&[3, 3, 3, 4, 5, 5, 5, 7]));
        let clients = random.between(1, 7);
        let slots = random.between(1, 4);
        let safety_time = Duration::from_millis(random.magnitude(5_000, 120_000));
        let network = NetworkFaults::draw(random);
        let shared = draw_options(random, &network);
        let options = (0..replicas)
            .map(|_| if random.strikes(8_192) { draw_options(random, &network) } else { shared })
            .collect();
        let mut scenario = Self {
            replicas,
            clients: usize::try_from(clients).expect("at most 7"),
            think_time: draw_think_time(random, settings, safety_time, clients),
            safety_time,
            turn_time: if random.strikes(32_768) {
                Duration::from_micros(random.magnitude(1, 2_000))
            } else {
                Duration::ZERO
            },
            save_time: Duration::from_micros(random.magnitude(1, 100_000)),
            hash_time: Duration::from_micros(random.magnitude(1, 100_000)),
            start_time: if random.strikes(16_384) {
                Duration::from_millis(random.magnitude(1, 3_000))
            } else {
                Duration::ZERO
            },
            clock_drift_ppm: if random.strikes(16_384) { random.magnitude(1, 50_000) } else { 0 },
            network,
            faults: Faults::draw(random),
            options,
            cluster_options: draw_cluster_options(random, clients, slots),
            client_options: draw_client_options(random, slots),
        };
        for (dimension, rate) in &settings.rates {
            dimension.set(*rate, &mut scenario);
        }
        scenario
    }
}

impl Scenario {
    /// A group with default options on a quick network, where nothing breaks by itself.
    #[must_use]
    pub fn calm(replicas: usize, clients: usize) -> Self {
        let network = NetworkFaults {
            latency_min: Duration::from_micros(100),
            latency_max: Duration::from_millis(1),
            loss: 0,
            duplication: 0,
            slow: 0,
            slow_max: Duration::from_secs(1),
            echo: 0,
            foreign: 0,
            corruption: 0,
            misrouting: 0,
            refusal: 0,
            slow_kind: None,
            lost: None,
        };
        let faults = Faults {
            crash: None,
            early_crashes: 0,
            restart_max: Duration::from_millis(1),
            wipe: 0,
            partition: None,
            partition_max: Duration::from_millis(1),
            flapping: 0,
            pause: None,
            pause_max: Duration::from_millis(1),
            client_crash: None,
            client_cut: None,
            clock_jump: None,
            service_drop: None,
        };
        Self {
            replicas,
            clients,
            think_time: Duration::from_millis(10),
            safety_time: Duration::MAX,
            turn_time: Duration::ZERO,
            save_time: Duration::from_millis(1),
            hash_time: Duration::from_millis(1),
            start_time: Duration::ZERO,
            clock_drift_ppm: 0,
            network,
            faults,
            options: vec![Options::default(); replicas],
            cluster_options: ClusterOptions::default(),
            client_options: ClientOptions { slots: 2, ..ClientOptions::default() },
        }
    }
}

/// So slow that the requests last through the safety phase, or so quick that they queue.
fn draw_think_time(random: &mut Random, settings: &Settings, safety_time: Duration, clients: u64) -> Duration {
    let steady = safety_time * u32::try_from(2 * clients).expect("few clients")
        / u32::try_from(settings.requests_max.max(1)).unwrap_or(u32::MAX);
    if random.strikes(49_152) { steady } else { Duration::from_micros(random.magnitude(1, 100_000)) }
}

impl NetworkFaults {
    fn draw(random: &mut Random) -> Self {
        let latency_min = Duration::from_micros(random.magnitude(10, 20_000));
        let spread = Duration::from_micros(random.magnitude(1, 50_000));
        let rate = |random: &mut Random, chance: u32, high: u64| {
            if random.strikes(chance) { u32::try_from(random.magnitude(16, high)).expect("below 2^16") } else { 0 }
        };
        let kind = |random: &mut Random, chance: u32| {
            let kind = if random.strikes(49_152) { *random.pick(&CRUCIAL) } else { *random.pick(KINDS) };
            let often = u32::try_from(random.between(8_192, 57_344)).expect("below 2^16");
            random.strikes(chance).then_some((kind, often))
        };
        let lost = |random: &mut Random| {
            let (kind, often) = kind(random, 20_480)?;
            let larger_than = random.strikes(20_480).then(|| random.magnitude(128, 4_096)).map(bytes_of);
            let any_kind = larger_than.is_some() && random.strikes(32_768);
            Some(Filter { kind: (!any_kind).then_some(kind), larger_than, often })
        };
        Self {
            latency_min,
            latency_max: latency_min + spread,
            loss: rate(random, 40_000, 16_384),
            duplication: rate(random, 40_000, 16_384),
            slow: rate(random, 40_000, 4_096),
            slow_max: Duration::from_millis(random.magnitude(10, 180_000)),
            echo: rate(random, 16_384, 1_024),
            foreign: rate(random, 8_192, 1_024),
            corruption: rate(random, 16_384, 2_048),
            misrouting: rate(random, 16_384, 2_048),
            refusal: rate(random, 32_768, 65_535),
            slow_kind: kind(random, 24_576),
            lost: lost(random),
        }
    }

    /// A network after all faults have ended.
    #[must_use]
    pub fn healed(&self) -> Self {
        let Self { latency_min, latency_max, slow_max, refusal, .. } = *self;
        Self {
            latency_min,
            latency_max,
            slow_max,
            refusal,
            loss: 0,
            duplication: 0,
            slow: 0,
            echo: 0,
            foreign: 0,
            corruption: 0,
            misrouting: 0,
            slow_kind: None,
            lost: None,
        }
    }
}

impl Faults {
    fn draw(random: &mut Random) -> Self {
        let every = |random: &mut Random, chance: u32, low: u64, high: u64| {
            random.strikes(chance).then(|| Duration::from_millis(random.magnitude(low, high)))
        };
        Self {
            crash: every(random, 49_152, 200, 20_000),
            early_crashes: if random.strikes(16_384) { random.between(1, 8) } else { 0 },
            restart_max: Duration::from_millis(random.magnitude(1, 10_000)),
            wipe: u32::try_from(*random.pick(&[0, 0, 16_384, 49_152])).expect("below 2^16"),
            partition: every(random, 40_000, 200, 20_000),
            partition_max: Duration::from_millis(random.magnitude(100, 20_000)),
            flapping: *random.pick(&[0, 0, 8_192, 32_768]),
            pause: every(random, 24_576, 200, 20_000),
            pause_max: Duration::from_millis(random.magnitude(10, 10_000)),
            client_crash: every(random, 32_768, 500, 20_000),
            client_cut: every(random, 40_000, 200, 20_000),
            clock_jump: every(random, 16_384, 500, 20_000),
            service_drop: every(random, 32_768, 50, 5_000),
        }
    }
}

/// Limits so small that windows fill, suffixes do not cover what a view change needs, and transfers take several messages.
fn draw_options(random: &mut Random, network: &NetworkFaults) -> Options {
    let defaults = Options::default();
    let entry_bytes = 256;
    let bytes = |random: &mut Random, entries_max: u64| bytes_of(entry_bytes * random.magnitude(1, entries_max));
    let pipeline_ops_max = random.between(4, 64);
    // A source must have the time to answer.
    let answer = 2 * network.latency_max + Duration::from_millis(20);
    // Impatient, but not so much that ordinary delays look like failures.
    let heartbeat_interval = Duration::from_millis(random.between(10, 50));
    let patience = 3 * heartbeat_interval + 2 * network.latency_max;
    let suspect_timeout = random.duration(patience, patience.max(defaults.suspect_timeout));
    Options {
        heartbeat_interval,
        suspect_timeout,
        abdicate_timeout: suspect_timeout,
        view_change_timeout: Duration::from_millis(random.between(50, 300)),
        pipeline_ops_max,
        pipeline_bytes_max: if random.strikes(8_192) { bytes(random, 64) } else { defaults.pipeline_bytes_max },
        queue_bytes_max: bytes(random, 64),
        prepare_bytes_max: bytes(random, 32),
        reorder_bytes_max: bytes(random, 64),
        do_view_change_bytes_max: if random.strikes(16_384) { 1 } else { bytes(random, 64) },
        start_view_bytes_max: bytes(random, 64),
        transfer_bytes_max: bytes(random, 64) * if random.strikes(32_768) { 4 } else { 1 },
        pages_window: usize::try_from(random.between(1, 3)).expect("few"),
        pages_sources_max: usize::try_from(random.between(1, 3)).expect("few"),
        pages_retry: random.duration(answer, answer.max(defaults.pages_retry)),
        // Often shorter than an answer takes: the checkpoint that is being fetched is gone.
        checkpoint_pin: Duration::from_millis(random.magnitude(1, 10_000)),
        execute_ops_max: random.magnitude(1, defaults.execute_ops_max),
        predict_timeout: Duration::from_millis(random.magnitude(1, 500)),
        pre_steps_max: usize::try_from(random.magnitude(1, 64)).expect("few"),
        ..defaults
    }
}

fn bytes_of(number: u64) -> usize {
    usize::try_from(number).expect("fits memory")
}

fn draw_cluster_options(random: &mut Random, clients: u64, slots: u64) -> ClusterOptions {
    let few = random.between(1, clients.max(2));
    let sessions = if random.strikes(16_384) { few } else { 4 * clients + 64 };
    let slots_max = if random.strikes(8_192) { random.between(1, slots) } else { slots };
    ClusterOptions {
        // So often that logs are cut, and what was cut is missed, in every seed.
        checkpoint_ops: *random.pick(&[4, 8, 8, 16, 32]),
        checkpoint_bytes: if random.strikes(8_192) { 2_048 } else { 1 << 20 },
        page_bytes: 512,
        sessions_max: u32::try_from(sessions).expect("few sessions"),
        slots_max: u32::try_from(slots_max).expect("few slots"),
        ..ClusterOptions::default()
    }
}

fn draw_client_options(random: &mut Random, slots: u64) -> ClientOptions {
    let defaults = ClientOptions::default();
    let request_timeout = if random.strikes(16_384) {
        Duration::from_millis(random.magnitude(4_000, 10_000))
    } else {
        defaults.request_timeout
    };
    ClientOptions { slots: u32::try_from(slots).expect("few slots"), request_timeout, ..defaults }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dimension::DIMENSIONS;

    fn scenario(seed: u128) -> Scenario {
        Scenario::draw(&mut Random::new(seed), &Settings::default())
    }

    #[test]
    fn a_seed_always_draws_the_same_scenario() {
        assert_eq!(scenario(3), scenario(3));
        assert_ne!(scenario(3), scenario(4));
    }

    #[test]
    fn each_fault_is_on_in_some_seeds_and_off_in_others() {
        let scenarios: Vec<Scenario> = (0..200).map(scenario).collect();
        type Fault = (&'static str, fn(&Scenario) -> bool);
        let faults: [Fault; 15] = [
            ("loss", |s| s.network.loss > 0),
            ("duplication", |s| s.network.duplication > 0),
            ("slow", |s| s.network.slow > 0),
            ("foreign", |s| s.network.foreign > 0),
            ("echo", |s| s.network.echo > 0),
            ("corruption", |s| s.network.corruption > 0),
            ("misrouting", |s| s.network.misrouting > 0),
            ("refusal", |s| s.network.refusal > 0),
            ("size", |s| s.network.lost.is_some_and(|lost| lost.larger_than.is_some())),
            ("flapping", |s| s.faults.flapping > 0),
            ("crash", |s| s.faults.crash.is_some()),
            ("wipe", |s| s.faults.wipe > 0),
            ("partition", |s| s.faults.partition.is_some()),
            ("pause", |s| s.faults.pause.is_some()),
            ("turns", |s| s.turn_time > Duration::ZERO),
        ];
        for (name, is_on) in faults {
            let on = scenarios.iter().filter(|scenario| is_on(scenario)).count();
            assert!((10..190).contains(&on), "{name} is on in {on} of 200 seeds");
        }
        for size in [3, 4, 5, 7] {
            assert!(scenarios.iter().any(|scenario| scenario.replicas == size), "no group of {size}");
        }
    }

    #[test]
    fn what_is_set_by_hand_is_not_left_to_the_seed() {
        let off = DIMENSIONS.iter().map(|dimension| (*dimension, Rate::Off)).collect();
        let rates = [off, vec![(Dimension::Loss, Rate::Chance(7))]].concat();
        let settings = Settings { rates, ..Settings::default() };
        for seed in 0..100 {
            let scenario = Scenario::draw(&mut Random::new(seed), &settings);
            let (network, faults) = (scenario.network, scenario.faults);
            assert_eq!(
                NetworkFaults { loss: 0, refusal: 0, ..network },
                NetworkFaults { refusal: 0, ..network.healed() }
            );
            assert_eq!((network.loss, network.refusal), (7, 0));
            assert_eq!((faults.crash, faults.early_crashes, faults.partition, faults.pause), (None, 0, None, None));
            assert_eq!((faults.client_crash, faults.client_cut, faults.clock_jump), (None, None, None));
            assert_eq!(faults.service_drop, None);
        }
    }

    #[test]
    fn a_healed_network_keeps_its_latency_only() {
        let faulty = scenario(1).network;
        let healed = faulty.healed();
        assert_eq!((healed.latency_min, healed.latency_max), (faulty.latency_min, faulty.latency_max));
        assert_eq!((healed.loss, healed.duplication, healed.slow, healed.foreign), (0, 0, 0, 0));
        assert_eq!((healed.echo, healed.corruption, healed.misrouting), (0, 0, 0));
        assert_eq!((healed.slow_kind, healed.lost), (None, None));
    }
}
