//! A counter on three replicas.
fn main() {}
