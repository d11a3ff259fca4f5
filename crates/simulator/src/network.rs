//! The network: loses, duplicates, reorders and delays messages, and knows which links are cut in which direction.

use std::time::Duration;

use bytes::BytesMut;
use viewstamped_protocol::Message;
use viewstamped_protocol::codec::encode_message;
use viewstamped_protocol::random::Random;

use crate::filter::Filter;
use crate::message_kind::Kind;
use crate::options::NetworkFaults;
use crate::random::{Draw, nanos};
use crate::topology::Topology;

/// How long a message takes that is meant to outlive the crash of its sender: from about a recovery to the whole run.
const LATE_MIN: Duration = Duration::from_millis(200);
const LATE_MAX: Duration = Duration::from_secs(60);

/// When a copy of a message comes that nobody expects any more.
const ECHO_MIN: Duration = Duration::from_secs(1);
const ECHO_MAX: Duration = Duration::from_secs(300);

/// What the network does with one message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It never arrives.
    Lost,
    /// It arrives after the first delay, and a second time after the other.
    Arrives(Duration, Option<Duration>),
}

/// How replicas stay apart from a healed core.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exclusion {
    /// They neither hear nor are heard.
    Isolated,
    /// They hear and are not heard.
    Mute,
    /// They are heard and do not hear: they go on asking for view changes, or sending heartbeats.
    Deaf,
}

/// The network between replicas and to clients.
#[derive(Clone, Debug)]
pub(crate) struct Network {
    random: Random,
    faults: NetworkFaults,
    /// What is lost more often than the rest.
    filters: Vec<Filter>,
    replicas: usize,
    /// Bit `to` of element `from`: the link is cut.
    cut: Vec<u32>,
    /// Replicas that clients do not reach, by client: bit i stands for replica i.
    cut_requests: Vec<u32>,
    /// Replicas whose answers do not reach a client.
    cut_answers: Vec<u32>,
    /// Whether everything sent between replicas now takes very long.
    is_late: bool,
}

impl Network {
    /// A network without cuts.
    pub(crate) fn new(
        random: Random,
        faults: NetworkFaults,
        drops: &[Filter],
        replicas: usize,
        clients: usize,
    ) -> Self {
        assert!(replicas <= 32, "places are bits of a u32");
        Self {
            random,
            faults,
            filters: drops.iter().copied().chain(faults.lost).collect(),
            replicas,
            cut: vec![0; replicas],
            cut_requests: vec![0; clients],
            cut_answers: vec![0; clients],
            is_late: false,
        }
    }

    /// Gives the links between replicas this shape.
    pub(crate) fn shape(&mut self, topology: &Topology) {
        self.cut = topology.cuts(self.replicas);
    }

    /// Lets everything that replicas send from now on take very long, or as long as usual.
    pub(crate) fn set_late(&mut self, is_late: bool) {
        self.is_late = is_late;
    }

    /// Cuts a client off from these replicas, in one or both directions.
    pub(crate) fn cut_client(&mut self, client: usize, requests: u32, answers: u32) {
        self.cut_requests[client] = requests;
        self.cut_answers[client] = answers;
    }

    /// Ends all faults but the ordinary delay and what is under way already. The replicas in `outside` stay without clients, and
    /// without the others as `exclusion` says.
    pub(crate) fn heal(&mut self, outside: u32, exclusion: Exclusion) {
        self.faults = self.faults.healed();
        self.filters.clear();
        for from in 0..self.replicas {
            let is_outside = outside >> from & 1 == 1;
            self.cut[from] = match exclusion {
                Exclusion::Isolated | Exclusion::Mute if is_outside => u32::MAX,
                Exclusion::Isolated | Exclusion::Deaf if !is_outside => outside,
                _ => 0,
            };
        }
        self.cut_requests.fill(outside);
        self.cut_answers.fill(outside);
    }

    /// What happens to a message between two replicas.
    pub(crate) fn carry(&mut self, from: usize, to: usize, kind: Kind, message: &Message) -> Fate {
        if self.cut[from] >> to & 1 == 1 {
            return Fate::Lost;
        }
        if self.is_late {
            let (low, high) = (nanos(LATE_MIN), nanos(LATE_MAX));
            return Fate::Arrives(Duration::from_nanos(self.random.magnitude(low, high)), None);
        }
        for filter in 0..self.filters.len() {
            if self.filters[filter].meets(kind, || frame_bytes(message))
                && self.random.strikes(self.filters[filter].often)
            {
                return Fate::Lost;
            }
        }
        if self.faults.slow_kind.is_some_and(|(slow, often)| slow == kind && self.random.strikes(often)) {
            return Fate::Arrives(self.slow_delay(), None);
        }
        self.carry_any()
    }

    /// What happens to a client's message to a replica.
    pub(crate) fn carry_request(&mut self, client: usize, to: usize) -> Fate {
        if self.cut_requests[client] >> to & 1 == 1 { Fate::Lost } else { self.carry_any() }
    }

    /// What happens to a replica's answer to a client.
    pub(crate) fn carry_answer(&mut self, from: usize, client: usize) -> Fate {
        if self.cut_answers[client] >> from & 1 == 1 { Fate::Lost } else { self.carry_any() }
    }

    /// The delay of a copy of the last message that comes from another cluster, when there is one.
    pub(crate) fn foreign_copy(&mut self) -> Option<Duration> {
        self.random.strikes(self.faults.foreign).then(|| self.delay())
    }

    /// The delay of a copy of the last message that comes much later, when there is one.
    pub(crate) fn echo(&mut self) -> Option<Duration> {
        let (low, high) = (nanos(ECHO_MIN), nanos(ECHO_MAX));
        self.random.strikes(self.faults.echo).then(|| Duration::from_nanos(self.random.magnitude(low, high)))
    }

    /// Who gets the last message instead of `to`, when it is misrouted: anybody, its sender included.
    pub(crate) fn misrouted(&mut self, to: usize) -> Option<usize> {
        let is_misrouted = self.replicas > 1 && self.random.strikes(self.faults.misrouting);
        is_misrouted.then(|| {
            let step = self.random.between(1, self.replicas as u64 - 1);
            (to + usize::try_from(step).expect("a place")) % self.replicas
        })
    }

    /// A generator for the damage to the last message, when it is damaged.
    pub(crate) fn damage(&mut self) -> Option<&mut Random> {
        let is_damaged = self.random.strikes(self.faults.corruption);
        is_damaged.then_some(&mut self.random)
    }

    /// After what time somebody learns that nobody listens at the other end, if at all.
    pub(crate) fn refusal(&mut self) -> Option<Duration> {
        self.random.strikes(self.faults.refusal).then(|| self.delay())
    }

    fn carry_any(&mut self) -> Fate {
        if self.random.strikes(self.faults.loss) {
            return Fate::Lost;
        }
        let first = self.delay();
        let second = self.random.strikes(self.faults.duplication).then(|| self.delay());
        Fate::Arrives(first, second)
    }

    fn delay(&mut self) -> Duration {
        if self.random.strikes(self.faults.slow) {
            return self.slow_delay();
        }
        self.random.duration(self.faults.latency_min, self.faults.latency_max)
    }

    fn slow_delay(&mut self) -> Duration {
        let low = nanos(self.faults.latency_max);
        Duration::from_nanos(self.random.magnitude(low, nanos(self.faults.slow_max).max(low)))
    }
}

/// The size of a message on the wire.
fn frame_bytes(message: &Message) -> usize {
    let mut frame = BytesMut::new();
    encode_message(message, &mut frame);
    frame.len()
}

#[cfg(test)]
mod tests {
    use viewstamped_protocol::message::{Body, Header};
    use viewstamped_protocol::{ClusterId, EpochNumber, Incarnation, NodeId, ViewNumber};

    use super::*;
    use crate::filter::ALWAYS;

    fn message() -> Message {
        let header = Header {
            cluster: ClusterId(1),
            epoch: EpochNumber::ZERO,
            view: ViewNumber::ZERO,
            from: NodeId(0),
            incarnation: Incarnation(1),
        };
        Message { header, body: Body::ViewHint }
    }

    fn carry(network: &mut Network, from: usize, to: usize, kind: Kind) -> Fate {
        network.carry(from, to, kind, &message())
    }

    fn quiet() -> NetworkFaults {
        NetworkFaults {
            latency_min: Duration::from_micros(10),
            latency_max: Duration::from_micros(20),
            loss: 0,
            duplication: 0,
            slow: 0,
            slow_max: Duration::from_secs(60),
            echo: 0,
            foreign: 0,
            corruption: 0,
            misrouting: 0,
            refusal: 0,
            slow_kind: None,
            lost: None,
        }
    }

    fn network(faults: NetworkFaults) -> Network {
        Network::new(Random::new(1), faults, &[], 5, 2)
    }

    #[test]
    fn a_quiet_network_delivers_once_within_its_latency() {
        let mut network = network(quiet());
        for _ in 0..100 {
            let Fate::Arrives(delay, None) = carry(&mut network, 0, 1, Kind::Prepare) else {
                panic!("lost or duplicated")
            };
            assert!((Duration::from_micros(10)..=Duration::from_micros(20)).contains(&delay));
        }
    }

    #[test]
    fn faults_strike_about_as_often_as_they_should() {
        let mut network = network(NetworkFaults { loss: 32_768, duplication: 32_768, slow: 6_554, ..quiet() });
        let (mut lost, mut twice, mut slow) = (0, 0, 0);
        for _ in 0..10_000 {
            match carry(&mut network, 0, 1, Kind::Prepare) {
                Fate::Lost => lost += 1,
                Fate::Arrives(first, second) => {
                    twice += u32::from(second.is_some());
                    slow += u32::from(first > Duration::from_micros(20));
                }
            }
        }
        assert!((4_500..5_500).contains(&lost), "{lost} of 10,000 lost");
        assert!((2_200..2_800).contains(&twice), "{twice} of 10,000 twice");
        assert!((350..650).contains(&slow), "{slow} of 10,000 slow");
    }

    #[test]
    fn one_kind_can_be_singled_out() {
        let lost = Filter { kind: Some(Kind::StartView), larger_than: None, often: ALWAYS };
        let mut network = network(NetworkFaults { lost: Some(lost), ..quiet() });
        assert_eq!(carry(&mut network, 0, 1, Kind::StartView), Fate::Lost);
        assert_ne!(carry(&mut network, 0, 1, Kind::Prepare), Fate::Lost);
    }

    #[test]
    fn large_messages_can_be_singled_out() {
        let size = frame_bytes(&message());
        for (larger_than, is_lost) in [(size - 1, true), (size, false)] {
            let lost = Filter { kind: None, larger_than: Some(larger_than), often: ALWAYS };
            let mut network = network(NetworkFaults { lost: Some(lost), ..quiet() });
            assert_eq!(carry(&mut network, 0, 1, Kind::ViewHint) == Fate::Lost, is_lost, "{size} > {larger_than}");
        }
    }

    #[test]
    fn a_misrouted_message_reaches_somebody_else() {
        let mut network = network(NetworkFaults { misrouting: 65_536, ..quiet() });
        for _ in 0..100 {
            assert!(network.misrouted(3).is_some_and(|to| to != 3 && to < 5));
        }
    }

    #[test]
    fn healing_ends_cuts_except_to_those_outside() {
        let mut network = network(NetworkFaults { loss: 65_536, ..quiet() });
        network.shape(&Topology::Isolated(1));
        network.cut_client(0, u32::MAX, 0);
        network.heal(1 << 4, Exclusion::Isolated);
        assert_ne!(carry(&mut network, 0, 1, Kind::Prepare), Fate::Lost);
        assert_ne!(network.carry_request(0, 1), Fate::Lost);
        assert_eq!(carry(&mut network, 0, 4, Kind::Prepare), Fate::Lost);
        assert_eq!(carry(&mut network, 4, 0, Kind::Prepare), Fate::Lost);
        assert_eq!(network.carry_request(0, 4), Fate::Lost);
        network.heal(1 << 4, Exclusion::Deaf);
        assert_eq!(carry(&mut network, 0, 4, Kind::Prepare), Fate::Lost);
        assert_ne!(carry(&mut network, 4, 0, Kind::Prepare), Fate::Lost);
        network.heal(1 << 4, Exclusion::Mute);
        assert_ne!(carry(&mut network, 0, 4, Kind::Prepare), Fate::Lost);
        assert_eq!(carry(&mut network, 4, 0, Kind::Prepare), Fate::Lost);
    }

    #[test]
    fn a_client_may_be_heard_without_hearing() {
        let mut network = network(quiet());
        network.cut_client(1, 0, 0b10);
        assert_ne!(network.carry_request(1, 1), Fate::Lost);
        assert_eq!(network.carry_answer(1, 1), Fate::Lost);
        assert_ne!(network.carry_answer(0, 1), Fate::Lost);
    }
}
