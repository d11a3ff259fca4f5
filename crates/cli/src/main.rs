//! vr
fn main() {}
