//! Bounds by name: what is searched again and again.

use crate::search::Bounds;

/// Bounds with a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Preset {
    /// Its name.
    pub name: &'static str,
    /// What it is for.
    pub about: &'static str,
    /// The bounds.
    pub bounds: Bounds,
}

/// One of three crashes once; nobody asks for anything.
const BARE: Bounds = Bounds { operations: 0, ..Bounds::DEFAULT };

/// The same in a group of five, where two may be without memory at once.
const FIVE: Bounds = Bounds { replicas: 5, down_max: 2, ..BARE };

/// All presets. Those named after a trace are large enough to find it, and what is like it, when its repair is taken away.
pub const PRESETS: [Preset; 10] = [
    Preset {
        name: "small",
        about: "three replicas, one operation, views 0 and 1, two crashes",
        bounds: Bounds { crashes: 2, ..Bounds::DEFAULT },
    },
    Preset {
        name: "medium",
        about: "three replicas, two operations, views 0 and 1, one crash",
        bounds: Bounds { operations: 2, ..Bounds::DEFAULT },
    },
    Preset {
        name: "large",
        about: "three replicas, two operations, views 0 and 1, two crashes: takes minutes and 600 MB",
        bounds: Bounds { operations: 2, crashes: 2, ..Bounds::DEFAULT },
    },
    Preset {
        name: "trace-a",
        about: "promises outlive crashes, where view changes need votes",
        bounds: Bounds { crashes: 2, votes: true, levels_max: 11, ..BARE },
    },
    Preset {
        name: "trace-b",
        about: "logs are cut on hearing of a later view: no crash",
        bounds: Bounds { operations: 2, view_max: 2, crashes: 0, ..Bounds::DEFAULT },
    },
    Preset { name: "trace-c", about: "promises outlive one crash", bounds: BARE },
    Preset {
        name: "trace-d",
        about: "answers from before and after a helper's crash complete a recovery: five replicas",
        bounds: Bounds { crashes: 2, width: Some(10_000), levels_max: 12, ..FIVE },
    },
    Preset {
        name: "trace-e",
        about: "a recovered replica knows less than its helpers did: two crashes, one at a time",
        bounds: Bounds { crashes: 2, ..BARE },
    },
    Preset {
        name: "trace-f",
        about: "a new primary has not heard of a crash that others know of: five replicas",
        bounds: FIVE,
    },
    Preset {
        name: "five",
        about: "five replicas, one operation, views 0 and 1, two crashes that overlap: levels are sampled",
        bounds: Bounds { operations: 1, crashes: 2, width: Some(10_000), ..FIVE },
    },
];

/// The preset of this name.
#[must_use]
pub fn preset(name: &str) -> Option<&'static Preset> {
    PRESETS.iter().find(|preset| preset.name == name)
}
