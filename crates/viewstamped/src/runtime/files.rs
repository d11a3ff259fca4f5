//! Open files: a flood of clients must not take those that peers need.

use rustix::process::{Resource, getrlimit};

use crate::config::TransportOptions;

/// Files beside connections: standard streams, event loop, listeners, directory, and who asks for a moment.
const OTHER_FILES: usize = 64;

/// How many client connections fit the limit of open files beside all that peers may need; at most as many as the option says.
pub(crate) fn client_connections_max(transport: &TransportOptions, links: usize) -> usize {
    let wanted = transport.client_connections_max;
    // No limit, or more than fits a usize, is enough.
    let Some(files) = getrlimit(Resource::Nofile).current.and_then(|files| usize::try_from(files).ok()) else {
        return wanted;
    };
    let others = transport.peer_connections_max + links + OTHER_FILES;
    // Where there are too few files for everything, clients are served all the same.
    let left = files.saturating_sub(others).max(files / 4);
    if left < wanted {
        tracing::warn!(
            "at most {left} client connections, and not {wanted}: this process may open {files} files, and keeps {others} of them \
             for peers and itself; raise the limit of open files (ulimit -n) to {}",
            wanted + others
        );
    }
    wanted.min(left)
}
