//! Bytes <-> messages: versioned, checksummed, every length bounded. Byte diagrams in docs/wire-format.md.
