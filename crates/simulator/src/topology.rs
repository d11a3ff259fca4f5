//! The shapes of a network: which replicas reach which others. Links have directions.

use std::fmt;
use std::str::FromStr;

use viewstamped_protocol::configuration::MEMBERS_MAX;
use viewstamped_protocol::random::Random;

use crate::random::Draw;

/// A shape of the network between replicas, by name. Replicas are named by their places in the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Topology {
    /// Every replica reaches every other.
    Whole,
    /// Two sides that do not reach each other; bit i says on which side replica i is.
    Split(u32),
    /// One replica that nobody hears.
    Mute(usize),
    /// One replica that hears nobody.
    Deaf(usize),
    /// One replica cut off both ways.
    Isolated(usize),
    /// All links go through one replica, which relays nothing: whoever was primary has lost its quorum.
    Star(usize),
    /// A star from which one replica, the old primary say, is cut off altogether.
    Constrained(usize, usize),
    /// Two halves, each whole, that share one replica.
    Bridge(usize),
    /// Each replica reaches only its neighbours in the order of the configuration.
    Chain,
    /// The same, and the last is next to the first.
    Ring,
    /// One link is cut in one direction.
    OneWay(usize, usize),
    /// Each direction of each link is cut or not, by a bit of this number in turn.
    Arbitrary(u64),
    /// These links, each from one replica to another, and no others.
    Edges(Vec<(usize, usize)>),
}

impl Topology {
    /// Links both ways between each of these replicas and the next.
    #[must_use]
    pub fn line(places: &[usize]) -> Self {
        Self::Edges(places.windows(2).flat_map(|pair| [(pair[0], pair[1]), (pair[1], pair[0])]).collect())
    }

    /// Draws a shape other than whole, for more than one replica.
    pub(crate) fn draw(random: &mut Random, replicas: usize, primary: Option<usize>) -> Self {
        if replicas == 1 {
            return Self::Whole;
        }
        let any = usize::try_from(random.below(replicas as u64)).expect("a place");
        let victim = primary.filter(|_| random.strikes(32_768)).unwrap_or(any);
        let other = (victim + usize::try_from(random.between(1, replicas as u64 - 1)).expect("a place")) % replicas;
        match random.below(12) {
            0 => Self::Split(u32::try_from(random.between(1, (1 << replicas) - 2)).expect("few replicas")),
            1 => Self::Mute(victim),
            2 => Self::Deaf(victim),
            3 => Self::Isolated(victim),
            4 => Self::Star(victim),
            5 => Self::Constrained(other, victim),
            6 => Self::Bridge(victim),
            7 => Self::Chain,
            8 => Self::Ring,
            9 => Self::OneWay(victim, other),
            10 => Self::draw_hub(random, replicas, victim),
            _ => Self::Arbitrary(random.next_u64() & random.next_u64()),
        }
    }

    /// Draws any links among which `hub` has some both ways with a quorum: the others may hear it or not, and each other or not.
    pub(crate) fn draw_hub(random: &mut Random, replicas: usize, hub: usize) -> Self {
        let quorum = replicas - (replicas - 1) / 2;
        let mut others: Vec<usize> = (0..replicas).filter(|place| *place != hub).collect();
        let mut edges = Vec::new();
        for _ in 1..quorum {
            let chosen = others.swap_remove(usize::try_from(random.below(others.len() as u64)).expect("a place"));
            edges.extend([(hub, chosen), (chosen, hub)]);
        }
        let often = *random.pick(&[0, 8_192, 32_768, 49_152]);
        for from in 0..replicas {
            for to in (0..replicas).filter(|to| *to != from) {
                if !edges.contains(&(from, to)) && random.strikes(often) {
                    edges.push((from, to));
                }
            }
        }
        Self::Edges(edges)
    }

    /// Whether a message gets from one of so many replicas to another.
    #[must_use]
    pub fn connects(&self, replicas: usize, from: usize, to: usize) -> bool {
        match self {
            Self::Whole => true,
            Self::Split(side) => side >> from & 1 == side >> to & 1,
            Self::Mute(victim) => from != *victim,
            Self::Deaf(victim) => to != *victim,
            Self::Isolated(victim) => from != *victim && to != *victim,
            Self::Star(hub) => from == *hub || to == *hub,
            Self::Constrained(hub, gone) => (from == *hub || to == *hub) && from != *gone && to != *gone,
            Self::Bridge(bridge) => {
                let half = |place: usize| (place + replicas - bridge - 1) % replicas < replicas / 2;
                from == *bridge || to == *bridge || half(from) == half(to)
            }
            Self::Chain => from.abs_diff(to) == 1,
            Self::Ring => from.abs_diff(to) == 1 || from.abs_diff(to) + 1 == replicas,
            Self::OneWay(cut_from, cut_to) => (from, to) != (*cut_from, *cut_to),
            Self::Arbitrary(bits) => bits >> ((from * 7 + to) % 64) & 1 == 0,
            Self::Edges(edges) => edges.contains(&(from, to)),
        }
    }

    /// The places that each replica does not reach, as the bits of a number.
    pub(crate) fn cuts(&self, replicas: usize) -> Vec<u32> {
        let cut = |from: usize, to: &usize| *to != from && !self.connects(replicas, from, *to);
        (0..replicas).map(|from| (0..replicas).filter(|to| cut(from, to)).fold(0, |mask, to| mask | 1 << to)).collect()
    }

    /// A replica that has links both ways with a quorum: around it the group must go on.
    #[must_use]
    pub fn hub(&self, replicas: usize) -> Option<usize> {
        let quorum = replicas - (replicas - 1) / 2;
        let is_linked = |one: usize, other: usize| {
            one == other || (self.connects(replicas, one, other) && self.connects(replicas, other, one))
        };
        (0..replicas).find(|hub| (0..replicas).filter(|other| is_linked(*hub, *other)).count() >= quorum)
    }

    /// The largest place it names.
    #[must_use]
    pub fn last_place(&self) -> usize {
        match self {
            Self::Whole | Self::Chain | Self::Ring | Self::Arbitrary(_) => 0,
            Self::Split(side) => usize::try_from(side.checked_ilog2().unwrap_or_default()).expect("a bit of a u32"),
            Self::Mute(place) | Self::Deaf(place) | Self::Isolated(place) | Self::Star(place) | Self::Bridge(place) => {
                *place
            }
            Self::Constrained(one, other) | Self::OneWay(one, other) => *one.max(other),
            Self::Edges(edges) => edges.iter().map(|(from, to)| *from.max(to)).max().unwrap_or_default(),
        }
    }
}

impl fmt::Display for Topology {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole => f.write_str("whole"),
            Self::Split(side) => {
                let side = (0..u32::BITS).filter(|place| side >> place & 1 == 1).map(|place| place.to_string());
                write!(f, "split:{}", side.collect::<Vec<_>>().join(","))
            }
            Self::Mute(place) => write!(f, "mute:{place}"),
            Self::Deaf(place) => write!(f, "deaf:{place}"),
            Self::Isolated(place) => write!(f, "isolated:{place}"),
            Self::Star(hub) => write!(f, "star:{hub}"),
            Self::Constrained(hub, gone) => write!(f, "constrained:{hub},{gone}"),
            Self::Bridge(bridge) => write!(f, "bridge:{bridge}"),
            Self::Chain => f.write_str("chain"),
            Self::Ring => f.write_str("ring"),
            Self::OneWay(from, to) => write!(f, "one-way:{from},{to}"),
            Self::Arbitrary(bits) => write!(f, "arbitrary:{bits}"),
            Self::Edges(edges) => {
                let both = |(from, to): &(usize, usize)| edges.contains(&(*to, *from));
                let names = edges.iter().filter(|edge| !both(edge) || edge.0 < edge.1).map(|edge| {
                    let arrow = if both(edge) { '-' } else { '>' };
                    format!("{}{arrow}{}", edge.0, edge.1)
                });
                f.write_str(&names.collect::<Vec<_>>().join(","))
            }
        }
    }
}

/// Why a text names no topology.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownTopology(String);

impl fmt::Display for UnknownTopology {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "'{}' is no topology: write whole, chain, ring, star:0, bridge:0, constrained:0,1, split:0,1, mute:0, deaf:0, \
             isolated:0, one-way:0,1 (that link is cut), or the links there are, as in 0-1,1-2,2>3",
            self.0
        )
    }
}

impl std::error::Error for UnknownTopology {}

impl FromStr for Topology {
    type Err = UnknownTopology;

    fn from_str(text: &str) -> Result<Self, UnknownTopology> {
        let wrong = || UnknownTopology(text.to_owned());
        let (name, arguments) = text.split_once(':').unwrap_or((text, ""));
        if let ("arbitrary", Ok(bits)) = (name, arguments.parse()) {
            return Ok(Self::Arbitrary(bits));
        }
        let places: Vec<usize> = match arguments {
            "" => Vec::new(),
            _ => arguments.split(',').map(place).collect::<Option<_>>().ok_or_else(wrong)?,
        };
        match (name, places.as_slice()) {
            ("whole", []) => Ok(Self::Whole),
            ("chain", []) => Ok(Self::Chain),
            ("ring", []) => Ok(Self::Ring),
            ("star", [hub]) => Ok(Self::Star(*hub)),
            ("bridge", [bridge]) => Ok(Self::Bridge(*bridge)),
            ("constrained", [hub, gone]) if hub != gone => Ok(Self::Constrained(*hub, *gone)),
            ("split", side) if !side.is_empty() => {
                Ok(Self::Split(side.iter().fold(0, |mask, place| mask | 1 << place)))
            }
            ("mute", [place]) => Ok(Self::Mute(*place)),
            ("deaf", [place]) => Ok(Self::Deaf(*place)),
            ("isolated", [place]) => Ok(Self::Isolated(*place)),
            ("one-way", [from, to]) if from != to => Ok(Self::OneWay(*from, *to)),
            (_, []) => edges(text).ok_or_else(wrong),
            _ => Err(wrong()),
        }
    }
}

fn place(text: &str) -> Option<usize> {
    text.trim().parse().ok().filter(|place| *place < MEMBERS_MAX)
}

/// `0-1,2>3`: a link both ways and one in one direction.
fn edges(text: &str) -> Option<Topology> {
    let mut edges = Vec::new();
    for edge in text.split(',') {
        let (from, to) = edge.split_once(['-', '>'])?;
        let (from, to) = (place(from)?, place(to)?);
        if from == to {
            return None;
        }
        edges.push((from, to));
        if edge.contains('-') {
            edges.push((to, from));
        }
    }
    edges.sort_unstable();
    edges.dedup();
    Some(Topology::Edges(edges))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connections(topology: &Topology, replicas: usize) -> String {
        let pairs = (0..replicas).flat_map(|from| (0..replicas).map(move |to| (from, to)));
        let joined = pairs.filter(|(from, to)| from != to && topology.connects(replicas, *from, *to));
        joined.map(|(from, to)| format!("{from}{to} ")).collect()
    }

    #[test]
    fn topologies_connect_whom_they_say() {
        let expected = [
            ("whole", 3, "01 02 10 12 20 21 "),
            ("split:0", 3, "12 21 "),
            ("mute:0", 3, "10 12 20 21 "),
            ("deaf:0", 3, "01 02 12 21 "),
            ("isolated:1", 3, "02 20 "),
            ("star:1", 3, "01 10 12 21 "),
            ("constrained:1,3", 4, "01 10 12 21 "),
            ("bridge:2", 5, "01 02 10 12 20 21 23 24 32 34 42 43 "),
            ("chain", 3, "01 10 12 21 "),
            ("ring", 4, "01 03 10 12 21 23 30 32 "),
            ("one-way:0,2", 3, "01 10 12 20 21 "),
            ("0-1,2>1", 3, "01 10 21 "),
        ];
        for (name, replicas, links) in expected {
            let topology: Topology = name.parse().expect("a topology");
            assert_eq!(connections(&topology, replicas), links, "{name}");
            assert_eq!(topology.to_string(), name, "it is called what it was called");
        }
    }

    #[test]
    fn what_is_no_topology_is_refused() {
        for text in ["", "star", "star:x", "star:31", "constrained:1,1", "0-0", "0-1;1-2", "chain:3", "0-1,"] {
            assert!(text.parse::<Topology>().is_err(), "'{text}'");
        }
    }

    #[test]
    fn every_drawn_shape_can_be_written_down_and_read_again() {
        let mut random = Random::new(7);
        for _ in 0..1_000 {
            let drawn = Topology::draw(&mut random, 5, Some(2));
            let read: Topology = drawn.to_string().parse().expect("what was written");
            assert_eq!(connections(&read, 5), connections(&drawn, 5), "{drawn}");
            assert!(drawn.last_place() < 5);
        }
    }

    #[test]
    fn a_hub_is_linked_both_ways_with_a_quorum() {
        assert_eq!(Topology::Star(3).hub(5), Some(3));
        assert_eq!(Topology::Chain.hub(5), Some(1));
        assert_eq!(Topology::Chain.hub(7), None);
        assert_eq!(Topology::Deaf(0).hub(3), Some(1));
        assert_eq!("0>1,1>2,2>0".parse::<Topology>().expect("links").hub(3), None);
        let mut random = Random::new(7);
        for hub in 0..5 {
            assert!(Topology::draw_hub(&mut random, 5, hub).hub(5).is_some());
        }
    }
}
