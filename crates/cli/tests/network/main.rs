//! Real replicas on hosts of their own, and a network that fails: what is lost, stopped or cut off, clients go on being
//! served, and what they were told stays true.
//!
//! The hosts are network namespaces, which takes root, `ip` and `nft`; a test that cannot have them says that it is skipped.

mod backups;
mod floods;
mod group;
mod hosts;
mod load;
mod outages;
mod overload;
mod primary;
mod reader;
#[path = "../support/mod.rs"]
mod support;
mod topologies;
