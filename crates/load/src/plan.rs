//! What is to be done to a store.

use serde::{Deserialize, Serialize};

/// One run: who asks, what, and how long.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// When requests are made.
    #[serde(flatten)]
    pub arrivals: Arrivals,
    /// Connections the requests are spread over.
    pub connections: u32,
    /// How many of a hundred requests are reads; the others are puts.
    pub reads_percent: u32,
    /// How long to measure, in milliseconds, unless a count is given.
    pub duration_ms: Option<u64>,
    /// How many requests to measure.
    pub count: Option<u64>,
    /// How long to load before measuring, in milliseconds.
    pub warmup_ms: u64,
    /// Bytes of a key.
    pub key_size: u32,
    /// Bytes of a value.
    pub value_size: u32,
    /// Different keys.
    pub keyspace: u64,
    /// Whether the report has a timeline.
    pub has_timeline: bool,
    /// Whether the system calls of the servers are counted, for a second after the measurement.
    pub system_calls: bool,
}

/// When requests are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Arrivals {
    /// Closed loop: a request follows when another one is answered.
    Closed {
        /// Clients that wait for an answer before they go on.
        clients: u32,
        /// Requests each client keeps outstanding.
        pipeline: u32,
    },
    /// Open loop: requests are made at their time, whether or not the ones before are answered.
    Open {
        /// Requests a second.
        rate: u32,
    },
}

impl Arrivals {
    /// How many requests may be outstanding at once; `None`: any number.
    #[must_use]
    pub fn outstanding(self) -> Option<u32> {
        match self {
            Self::Closed { clients, pipeline } => Some(clients * pipeline),
            Self::Open { .. } => None,
        }
    }
}

impl std::fmt::Display for Arrivals {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Closed { clients: 1, pipeline: 1 } => write!(f, "1 client"),
            Self::Closed { clients, pipeline: 1 } => write!(f, "{clients} clients"),
            Self::Closed { clients, pipeline } => write!(f, "{clients} x {pipeline} outstanding"),
            Self::Open { rate } => write!(f, "{rate} a second"),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A small plan for tests, which change what they are about.
    pub(crate) fn small(arrivals: Arrivals) -> Plan {
        Plan {
            arrivals,
            connections: 2,
            reads_percent: 0,
            duration_ms: None,
            count: None,
            warmup_ms: 0,
            key_size: 64,
            value_size: 128,
            keyspace: 3,
            has_timeline: true,
            system_calls: false,
        }
    }

    #[test]
    fn plan_reads_back_from_json_in_both_loops() {
        for arrivals in [Arrivals::Closed { clients: 3, pipeline: 2 }, Arrivals::Open { rate: 500 }] {
            let plan = Plan { count: Some(7), ..small(arrivals) };
            let text = serde_json::to_string(&plan).unwrap();
            assert_eq!(serde_json::from_str::<Plan>(&text).unwrap(), plan, "{text}");
        }
    }
}
