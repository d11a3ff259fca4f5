//! The built-in service: a replicated map of keys to values. What `vr kv` and `vr bench` speak, and what the simulator runs.
//!
//! A client sends an encoded [`Operation`] and gets an encoded [`Reply`]:
//!
//! ```
//! use viewstamped_map::{Operation, Reply};
//!
//! let payload = Operation::Put { key: b"greeting", value: b"hello" }.encode()?;
//! assert_eq!(Operation::decode(&payload)?, Operation::Put { key: b"greeting", value: b"hello" });
//! # let result = Reply::Done { existed: false }.encode();
//! match Reply::decode(&result)? {
//!     Reply::Done { existed } => println!("{}", if existed { "replaced" } else { "new" }),
//!     other => panic!("PUT is answered by Done, not by {other:?}"),
//! }
//! # Ok::<(), viewstamped_map::Malformed>(())
//! ```

mod fields;
mod operation;
mod reply;

use std::ops::Bound;

use bytes::Bytes;
use viewstamped_protocol::Service;
use viewstamped_state::State;

pub use fields::Malformed;
pub use operation::Operation;
pub use reply::Reply;

/// The longest key, in bytes. 4 KiB: as long as a path may be, and thousands of them fit in one page of a list.
pub const KEY_BYTES_MAX: usize = 4 << 10;

/// The longest value, in bytes. 1 MiB: nothing longer fits in an operation with the default `operation_bytes_max`.
pub const VALUE_BYTES_MAX: usize = 1 << 20;

/// The longest answer to [`Operation::List`], in bytes, unless the first value alone is longer. 64 KiB: the default
/// `reply_bytes_max`, so that the answer is kept for a retry.
pub const LIST_REPLY_BYTES_MAX: usize = 64 << 10;

/// The map as a replicated service. It has no data of its own: the keys and values are those of the replicated state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Map;

impl Service for Map {
    /// Executes an encoded [`Operation`]; a malformed one is answered by [`Reply::Invalid`] and changes nothing.
    fn execute(&mut self, state: &mut State, operation: viewstamped_protocol::Operation<'_>) -> Bytes {
        let payload = operation.payload;
        match Operation::decode(payload) {
            Ok(operation) => apply(state, operation),
            Err(malformed) => Reply::Invalid(&malformed.to_string()).encode(),
        }
    }

    /// Answers [`Operation::Get`] and [`Operation::List`]; anything else is answered by [`Reply::Invalid`].
    fn query(&self, state: &State, query: &[u8]) -> Bytes {
        match Operation::decode(query) {
            Ok(Operation::Get { key }) => Reply::Value(state.get(key)).encode(),
            Ok(Operation::List { prefix, after, limit }) => list(state, prefix, after, limit).encode(),
            Ok(_) => Reply::Invalid("a query cannot change the map; send the operation as a request").encode(),
            Err(malformed) => Reply::Invalid(&malformed.to_string()).encode(),
        }
    }

    fn validate(&self, payload: &[u8]) -> Result<(), String> {
        Operation::decode(payload).map(drop).map_err(|malformed| malformed.to_string())
    }
}

/// Does what `operation` asks for.
fn apply(state: &mut State, operation: Operation<'_>) -> Bytes {
    match operation {
        Operation::Put { key, value } => {
            let existed = state.put(key, value);
            Reply::Done { existed }.encode()
        }
        Operation::Delete { key } => Reply::Done { existed: state.remove(key) }.encode(),
        Operation::Get { key } => Reply::Value(state.get(key)).encode(),
        Operation::List { prefix, after, limit } => list(state, prefix, after, limit).encode(),
        Operation::CompareAndSwap { key, expected, value } => {
            let current = state.get(key);
            if current != expected {
                return Reply::NotSwapped { current }.encode();
            }
            match value {
                Some(value) => state.put(key, value),
                None => state.remove(key),
            };
            Reply::Swapped.encode()
        }
    }
}

/// The page of keys that start with `prefix` and are larger than `after`: never more than `limit`, when that is not 0.
fn list<'s>(state: &'s State, prefix: &[u8], after: &[u8], limit: u32) -> Reply<'s> {
    let start = if after < prefix { Bound::Included(prefix) } else { Bound::Excluded(after) };
    let mut keys = state.range((start, Bound::Unbounded)).take_while(|(key, _)| key.starts_with(prefix));
    let mut pairs = Vec::new();
    let mut bytes = reply::PAGE_OVERHEAD_BYTES;
    let mut more = false;
    for (key, value) in keys.by_ref() {
        bytes += reply::PAIR_OVERHEAD_BYTES + key.len() + value.len();
        let is_full = limit != 0 && pairs.len() as u64 >= u64::from(limit);
        if is_full || (!pairs.is_empty() && bytes > LIST_REPLY_BYTES_MAX) {
            more = true;
            break;
        }
        pairs.push((key, value));
    }
    Reply::Page { pairs, more }
}
