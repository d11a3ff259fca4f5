//! Messages that clients have begun and not completed: bounded in bytes, all of them together.

use std::collections::BTreeMap;
use std::rc::Rc;

use super::clients::ClientConnection;

/// Which connections are amid a message, the one that began first in front.
#[derive(Debug, Default)]
pub(crate) struct Unfinished {
    begun: BTreeMap<u64, (Rc<ClientConnection>, usize)>,
    bytes: usize,
    next: u64,
}

impl Unfinished {
    /// Notes that a connection is amid a message that takes `bytes` of memory so far.
    pub(crate) fn note(&mut self, connection: &Rc<ClientConnection>, bytes: usize) {
        let number = connection.unfinished.get().unwrap_or_else(|| {
            self.next += 1;
            self.next
        });
        connection.unfinished.set(Some(number));
        let before = self.begun.insert(number, (Rc::clone(connection), bytes)).map_or(0, |(_, bytes)| bytes);
        self.bytes = self.bytes - before + bytes;
    }

    /// Notes that a connection is not amid a message, or is no more.
    pub(crate) fn forget(&mut self, connection: &ClientConnection) {
        if let Some((_, bytes)) = connection.unfinished.take().and_then(|number| self.begun.remove(&number)) {
            self.bytes -= bytes;
        }
    }

    /// Who has been amid a message for the longest time, if all of them take more than `limit` bytes.
    pub(crate) fn oldest_beyond(&self, limit: usize) -> Option<Rc<ClientConnection>> {
        let (connection, _) = self.begun.first_key_value().filter(|_| self.bytes > limit)?.1;
        Some(Rc::clone(connection))
    }
}
