//! The durability modes: what waits for the disk, and how a replica starts from what survived (docs/deviations.md, D).

mod outage;
mod records;
mod restart;
mod survived;
mod waiting;
