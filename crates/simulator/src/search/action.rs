//! What can happen to a replica, also as a number: the search keeps tens of millions.

use viewstamped_protocol::ViewNumber;
use viewstamped_protocol::replica::Timer;

use crate::search::letters::LetterId;

/// What can happen to a replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// This message arrives.
    Deliver(LetterId),
    /// The client asks for this operation, from 0.
    Submit(u32),
    /// It joins the view change to this view, as if it had heard that a quorum wants it.
    Join(ViewNumber),
    /// It loses its memory and starts again.
    Crash,
    /// A timer runs out.
    Fire(Timer),
}

impl Action {
    /// As a number below 2^26: 2^24 messages, and everything else above them.
    pub(super) fn code(self) -> u32 {
        const OTHER: u32 = 1 << 24;
        let timer = |timer| match timer {
            Timer::Suspect => 0,
            Timer::ViewChange => 1,
            Timer::Heartbeat => 2,
            Timer::Gap => 3,
            Timer::Transfer => 4,
        };
        match self {
            Self::Deliver(letter) => {
                assert!(letter < OTHER, "the bounds lead to more than 2^24 different messages; lower them");
                letter
            }
            Self::Submit(operation) => OTHER | operation,
            Self::Join(view) => OTHER | 1 << 16 | u32::try_from(view.0).expect("bounded"),
            Self::Crash => OTHER | 2 << 16,
            Self::Fire(which) => OTHER | 3 << 16 | timer(which),
        }
    }

    pub(super) fn of_code(code: u32) -> Self {
        const TIMERS: [Timer; 5] = [Timer::Suspect, Timer::ViewChange, Timer::Heartbeat, Timer::Gap, Timer::Transfer];
        let low = code & 0xffff;
        match code >> 16 {
            0x100 => Self::Submit(low),
            0x101 => Self::Join(ViewNumber(u64::from(low))),
            0x102 => Self::Crash,
            0x103 => Self::Fire(TIMERS[low as usize]),
            _ => Self::Deliver(code),
        }
    }
}
