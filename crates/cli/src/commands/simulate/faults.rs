//! The flags that decide about faults instead of the seed.

use std::fmt;
use std::str::FromStr;

use clap::Args;
use viewstamped_simulator::{DIMENSIONS, Dimension, Filter, Rate, Settings, Topology, percent};

use crate::failure::{EXIT_USAGE, Failure};
use crate::human::Span;

/// What breaks, where it is not left to the seed. A group of `--replicas` is numbered from 0.
#[derive(Args, Debug)]
#[command(next_help_heading = "Faults that are not left to the seed")]
pub(super) struct FaultFlags {
    /// The shape of the links between replicas until the faults end: whole, chain, ring, star:0, bridge:0, constrained:0,1 (hub,
    /// and who is cut off), split:0,1, mute:0, deaf:0, isolated:0, one-way:0,1 (that link is cut), or all links, as in 0-1,1>2.
    /// If one replica has links with a quorum, clients must be served in it
    #[arg(long, value_name = "SHAPE", requires = "replicas")]
    topology: Option<Topology>,
    /// How long that shape stays before the links are whole for as long, and so on
    #[arg(long, value_name = "TIME", requires = "topology")]
    flapping: Option<Span>,
    /// The only replicas that clients reach until the faults end, as in 0,2
    #[arg(long, value_name = "REPLICAS", requires = "replicas", value_delimiter = ',')]
    clients_reach: Vec<usize>,
    /// Messages between replicas that are lost: of a kind (PREPAREOK), with frames above a size (>1024), or both (PREPARE>1024);
    /// always, or some of them (PREPARE:30%). May be given more than once
    #[arg(long = "drop", value_name = "MESSAGES")]
    drops: Vec<Filter>,
    /// Faults of machines, links and clients that do not happen, by the numbers that the trace gives them, as in 0,3
    #[arg(long, value_name = "NUMBERS", value_delimiter = ',')]
    spare: Vec<u64>,
    /// How often something fails: loss=5%, duplication, slow, echo (a copy minutes later), foreign (another cluster's message),
    /// corruption, misrouting, refusal, wipe, flapping as chances; crash=2s, partition, pause, client-crash, client-cut,
    /// clock-jump, service-drop as the mean time between two; off for never. all=off switches off what is not named after it.
    /// May be given more than once
    #[arg(long = "fault", value_name = "FAULT=RATE")]
    faults: Vec<FaultRate>,
}

/// One dimension of failure, or all, and how much of it there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct FaultRate {
    /// `None` for all.
    dimension: Option<Dimension>,
    rate: Rate,
}

impl FromStr for FaultRate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, rate) =
            text.split_once('=').ok_or_else(|| format!("'{text}' has no rate: write {text}=off, say"))?;
        if (name, rate) == ("all", "off") {
            return Ok(Self { dimension: None, rate: Rate::Off });
        }
        let dimension: Dimension = name.parse().map_err(|error| format!("{error}"))?;
        let rate = match rate {
            "off" => Rate::Off,
            _ if dimension.is_chance() => {
                let chance = rate.strip_suffix('%').and_then(percent);
                Rate::Chance(chance.ok_or_else(|| format!("'{rate}' is no chance: write {name}=5% or {name}=off"))?)
            }
            _ => Rate::Every(rate.parse::<Span>()?.0),
        };
        Ok(Self { dimension: Some(dimension), rate })
    }
}

impl fmt::Display for FaultRate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.dimension.map_or("all", Dimension::name);
        match self.rate {
            Rate::Every(interval) => write!(f, "{name}={}", Span(interval)),
            rate => write!(f, "{name}={rate}"),
        }
    }
}

impl FaultFlags {
    /// The same shape of the network, with what the shrinker has found.
    pub(super) fn shrunk(&self, settings: &Settings) -> Self {
        let fault = |(dimension, rate): &(Dimension, Rate)| FaultRate { dimension: Some(*dimension), rate: *rate };
        Self {
            topology: self.topology.clone(),
            flapping: self.flapping,
            clients_reach: self.clients_reach.clone(),
            drops: self.drops.clone(),
            spare: settings.spared.iter().copied().collect(),
            faults: settings.rates.iter().map(fault).collect(),
        }
    }

    /// Checks what no single flag shows: that the replicas named exist.
    pub(super) fn check(&self, replicas: Option<u16>) -> Result<(), Failure> {
        let last =
            self.topology.as_ref().map(Topology::last_place).into_iter().chain(self.clients_reach.iter().copied());
        let (Some(last), Some(replicas)) = (last.max(), replicas) else { return Ok(()) };
        if last < usize::from(replicas) {
            return Ok(());
        }
        let why = format!("{replicas} replicas are numbered from 0 to {}, and {last} is named", replicas - 1);
        Err(Failure::new("there is no such replica", why, "correct --topology or --clients-reach, or raise --replicas")
            .with_code(EXIT_USAGE))
    }

    /// These settings, with the faults that the flags name.
    pub(super) fn apply(&self, settings: Settings) -> Settings {
        let each = |fault: &FaultRate| match fault.dimension {
            Some(dimension) => vec![(dimension, fault.rate)],
            None => DIMENSIONS.iter().map(|dimension| (*dimension, fault.rate)).collect(),
        };
        let reach = self.clients_reach.iter().fold(0, |reach, place| reach | 1 << place);
        Settings {
            topology: self.topology.clone(),
            flapping: self.flapping.map(|flapping| flapping.0),
            clients_reach: (!self.clients_reach.is_empty()).then_some(reach),
            drops: self.drops.clone(),
            spared: self.spare.iter().copied().collect(),
            rates: self.faults.iter().flat_map(each).collect(),
            ..settings
        }
    }
}

/// As the flags were given, for a shell; each with a space before it.
impl fmt::Display for FaultFlags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(topology) = &self.topology {
            write!(f, " --topology {}", quoted(topology))?;
        }
        if let Some(flapping) = &self.flapping {
            write!(f, " --flapping {flapping}")?;
        }
        if !self.clients_reach.is_empty() {
            let places: Vec<String> = self.clients_reach.iter().map(ToString::to_string).collect();
            write!(f, " --clients-reach {}", places.join(","))?;
        }
        for filter in &self.drops {
            write!(f, " --drop {}", quoted(filter))?;
        }
        if !self.spare.is_empty() {
            let numbers: Vec<String> = self.spare.iter().map(ToString::to_string).collect();
            write!(f, " --spare {}", numbers.join(","))?;
        }
        for fault in &self.faults {
            write!(f, " --fault {fault}")?;
        }
        Ok(())
    }
}

/// Protects what a shell would take for a redirection.
fn quoted(text: &impl fmt::Display) -> String {
    let text = text.to_string();
    if text.contains('>') { format!("'{text}'") } else { text }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Flags {
        #[arg(long)]
        replicas: Option<u16>,
        #[command(flatten)]
        faults: FaultFlags,
    }

    fn parse(line: &str) -> Result<Flags, String> {
        let words = line.split_whitespace().map(|word| word.trim_matches('\''));
        Flags::try_parse_from(std::iter::once("vr").chain(words)).map_err(|error| error.to_string())
    }

    #[test]
    fn flags_are_printed_as_they_are_given() {
        let line = " --topology '0-1,1>2' --flapping 200ms --clients-reach 0,2 --drop PREPAREOK --drop '>1024:50%' --spare 0,3 \
                    --fault all=off --fault loss=5% --fault crash=2s";
        let flags = parse(&format!("--replicas 3{line}")).expect("valid flags");
        assert_eq!(flags.faults.to_string(), line);
        assert!(flags.faults.check(flags.replicas).is_ok());
        let settings = flags.faults.apply(Settings::default());
        assert_eq!(settings.clients_reach, Some(0b101));
        assert_eq!(settings.rates.len(), DIMENSIONS.len() + 2);
        let untouched = parse("--replicas 3").expect("no flags").faults;
        assert_eq!((untouched.to_string(), untouched.apply(Settings::default())), (String::new(), Settings::default()));
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for line in
            ["--topology star:0", "--fault loss", "--fault loss=5s", "--fault crash=5%", "--fault rain=off", "--drop X"]
        {
            assert!(parse(line).is_err(), "{line}");
        }
        let flags = parse("--replicas 3 --topology star:3").expect("valid flags");
        assert!(flags.faults.check(flags.replicas).is_err(), "there is no replica 3");
    }
}
