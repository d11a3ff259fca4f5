//! The maps, behind what the measurements need of them.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use viewstamped_state::State;

/// What most people would take.
pub type Plain = BTreeMap<Vec<u8>, Vec<u8>>;

/// What most people would take who need snapshots.
pub type Persistent = imbl::OrdMap<Vec<u8>, Vec<u8>>;

/// A map that can be measured.
pub trait Subject: Clone + Default {
    /// Whether a snapshot copies only what changes.
    const HAS_SNAPSHOTS: bool;
    /// Whether there are roots.
    const HAS_ROOTS: bool = false;

    fn get(&self, key: &[u8]) -> Option<&[u8]>;
    /// Writes an entry that is probably not there.
    fn put(&mut self, key: &[u8], value: &[u8]);
    /// Writes another value of the same length for a key that is there.
    fn overwrite(&mut self, key: &[u8], value: &[u8]) {
        self.put(key, value);
    }
    fn remove(&mut self, key: &[u8]);
    /// The bytes of all values.
    fn scan(&self) -> u64;
    fn root(&self) {}
}

impl Subject for State {
    const HAS_SNAPSHOTS: bool = true;
    const HAS_ROOTS: bool = true;

    fn get(&self, key: &[u8]) -> Option<&[u8]> {
        State::get(self, key)
    }

    fn put(&mut self, key: &[u8], value: &[u8]) {
        State::put(self, key, value);
    }

    fn remove(&mut self, key: &[u8]) {
        State::remove(self, key);
    }

    fn scan(&self) -> u64 {
        self.range(..).map(|(_, value)| value.len() as u64).sum()
    }

    fn root(&self) {
        std::hint::black_box(State::root(self));
    }
}

/// The map that the state was made of before it had pages.
#[derive(Clone, Default)]
pub struct Shared(Arc<BTreeMap<Bytes, Bytes>>);

impl Subject for Shared {
    const HAS_SNAPSHOTS: bool = false;

    fn get(&self, key: &[u8]) -> Option<&[u8]> {
        self.0.get(key).map(Bytes::as_ref)
    }

    fn put(&mut self, key: &[u8], value: &[u8]) {
        let (map, value) = (Arc::make_mut(&mut self.0), Bytes::copy_from_slice(value));
        match map.get_mut(key) {
            Some(present) => *present = value,
            None => drop(map.insert(Bytes::copy_from_slice(key), value)),
        }
    }

    fn remove(&mut self, key: &[u8]) {
        Arc::make_mut(&mut self.0).remove(key);
    }

    fn scan(&self) -> u64 {
        self.0.values().map(|value| value.len() as u64).sum()
    }
}

/// The maps that own their keys and values.
macro_rules! owning {
    ($map:ty, has_snapshots: $has_snapshots:literal) => {
        impl Subject for $map {
            const HAS_SNAPSHOTS: bool = $has_snapshots;

            fn get(&self, key: &[u8]) -> Option<&[u8]> {
                self.get(key).map(Vec::as_slice)
            }

            fn put(&mut self, key: &[u8], value: &[u8]) {
                self.insert(key.to_vec(), value.to_vec());
            }

            fn overwrite(&mut self, key: &[u8], value: &[u8]) {
                self.get_mut(key).expect("the key is there").copy_from_slice(value);
            }

            fn remove(&mut self, key: &[u8]) {
                self.remove(key);
            }

            fn scan(&self) -> u64 {
                self.values().map(|value| value.len() as u64).sum()
            }
        }
    };
}

owning!(Plain, has_snapshots: false);
owning!(Persistent, has_snapshots: true);
