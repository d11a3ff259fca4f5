//! Loads a replicated store and measures it, in the same way whatever store it is.
//!
//! A [`Plan`] says what to do, a [`Target`] does it to one store, [`run`] loads the target as planned, and a [`Report`] says what
//! was measured. `vr bench` has one target, the programs under `benches/` have others: two stores compared are loaded by the
//! same code.

mod engine;
mod plan;
mod processes;
mod recorder;
mod report;
mod schedule;
mod syscalls;
mod timeline;
mod workload;

pub use engine::{Target, run};
pub use plan::{Arrivals, Plan};
pub use processes::{Processes, exists};
pub use report::{Latency, Report, Servers, SystemCalls, median};
pub use timeline::Slice;
pub use workload::{KEY_SIZE_MIN, Step};
