//! viewstamped
