//! A replica in this process: one thread that owns it, its sockets and its timer.

use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::{Duration, Instant};

use tokio::sync::watch;
use viewstamped_protocol::{ClientOptions, ClusterId, Service};

use crate::boot::{self, Membership};
use crate::client::{Client, ClientConfig};
use crate::config::Config;
use crate::error::{ConnectError, NodeError, StartError};
use crate::runtime::control::Control;
use crate::runtime::{random_bits, thread};
use crate::status::NodeStatus;

/// A running replica. Dropping it stops the replica as a crash does, and waits until its thread, sockets and directory are free;
/// [`Self::shutdown`] writes out everything before.
#[derive(Debug)]
pub struct Node {
    cluster: ClusterId,
    status: watch::Receiver<NodeStatus>,
    client_address: SocketAddr,
    /// Where the group was said to be when the node started; empty when it is known.
    first_peers: Vec<String>,
    control: Arc<Control>,
    end: watch::Receiver<Option<Result<(), NodeError>>>,
    /// Closed when what the replica's thread had to do is done.
    done: Mutex<mpsc::Receiver<()>>,
}

/// What a replica's thread has to do, until the replica stops.
pub type ReplicaTask = Box<dyn FnOnce() + Send>;

/// Sockets that listen already; made here when they do not.
#[derive(Debug, Default)]
pub(crate) struct Listeners {
    pub(crate) clients: Option<TcpListener>,
    pub(crate) peers: Option<TcpListener>,
}

impl Node {
    /// Starts the replica whose directory `config` names, on a thread of its own.
    ///
    /// Returns when the directory is locked and the client address is bound. Whether the replica serves yet, its status says.
    ///
    /// # Errors
    /// When the directory does not belong to a replica that may run, or an address cannot be listened on.
    pub fn start<S: Service + Send + 'static>(config: Config, service: S) -> Result<Self, StartError> {
        Self::start_on(config, Listeners::default(), service, spawn)
    }

    /// As [`Self::start`], on a thread of the caller's choice: `run` has to see to it that the task it is given is done, by a
    /// thread that may be busy with it for as long as the replica runs.
    ///
    /// A program that is nothing but a replica gives it its main thread: some systems' memory allocators serve that one faster.
    ///
    /// # Errors
    /// As [`Self::start`], or when `run` fails.
    pub fn start_by<S: Service + Send + 'static>(
        config: Config,
        service: S,
        run: impl FnOnce(ReplicaTask) -> io::Result<()>,
    ) -> Result<Self, StartError> {
        Self::start_on(config, Listeners::default(), service, run)
    }

    pub(crate) fn start_on<S: Service + Send + 'static>(
        config: Config,
        listeners: Listeners,
        service: S,
        run: impl FnOnce(ReplicaTask) -> io::Result<()>,
    ) -> Result<Self, StartError> {
        let boot = boot::open(&config)?;
        let client_listener = match listeners.clients {
            Some(listener) => listener,
            None => listen(&config.listen_client, "clients")?,
        };
        let peer_listener = match (listeners.peers, boot.peer_address()) {
            (Some(listener), _) => Some(listener),
            (None, Some(address)) => Some(listen(address, "peers")?),
            (None, None) => None,
        };
        let client_address = client_listener
            .local_addr()
            .map_err(|source| StartError::System { action: "read the address of a listening socket", source })?;
        for listener in [Some(&client_listener), peer_listener.as_ref()].into_iter().flatten() {
            listener
                .set_nonblocking(true)
                .map_err(|source| StartError::System { action: "set up a listening socket", source })?;
        }
        let seed = random_bits().map_err(StartError::Random)?;
        let (status, status_receiver) = watch::channel(boot.first_status(client_address));
        let (end, end_receiver) = watch::channel(None);
        let control = Arc::new(Control::default());
        let cluster = boot.cluster;
        let first_peers = match &boot.membership {
            Membership::Known(_) => Vec::new(),
            Membership::Unknown { peers } => peers.clone(),
        };
        let start = thread::Start {
            boot,
            options: config.options,
            transport: config.transport,
            storage: config.storage,
            client_listener,
            peer_listener,
            control: Arc::clone(&control),
            status,
            seed,
        };
        let (doing, done) = mpsc::channel();
        let task = move || {
            // Dropped when everything else is.
            let _doing: mpsc::Sender<()> = doing;
            let result = thread::run(start, service);
            end.send_replace(Some(result));
        };
        run(Box::new(task)).map_err(|source| StartError::System { action: "start the replica's thread", source })?;
        let (status, end, done) = (status_receiver, end_receiver, Mutex::new(done));
        Ok(Self { cluster, status, client_address, first_peers, control, end, done })
    }

    /// What the replica says about itself, at most [`status_interval`](crate::TransportOptions::status_interval) old.
    #[must_use]
    pub fn status(&self) -> NodeStatus {
        self.status.borrow().clone()
    }

    /// A stream of statuses: changes whenever status, view or a number does.
    #[must_use]
    pub fn watch_status(&self) -> watch::Receiver<NodeStatus> {
        self.status.clone()
    }

    /// Where clients are served, with the real port when the configured one was 0.
    #[must_use]
    pub fn client_address(&self) -> SocketAddr {
        self.client_address
    }

    /// A client of the group in this process, on the caller's tokio runtime. It finds the primary wherever it is, through the
    /// peer addresses of the members.
    ///
    /// # Errors
    /// Outside a tokio runtime.
    pub fn client(&self, options: ClientOptions) -> Result<Client, ConnectError> {
        let status = self.status.borrow();
        let peers = status.members.iter().filter(|member| member.id != status.id).map(|member| member.address.clone());
        let own = std::iter::once(self.client_address.to_string());
        let mut config = ClientConfig::new(own.chain(peers).chain(self.first_peers.iter().cloned()));
        config.options = options;
        config.cluster = Some(self.cluster);
        Client::connect(config)
    }

    /// Waits until the replica stops by itself or is shut down.
    ///
    /// # Errors
    /// Why it stopped by itself: it must not go on, and nor should the process.
    pub async fn wait(&self) -> Result<(), NodeError> {
        let mut end = self.end.clone();
        let result = end.wait_for(Option::is_some).await.map(|end| end.clone().expect("waited for"));
        result.unwrap_or_else(|_| Err(NodeError::Panicked { message: "the replica's thread is gone".to_owned() }))
    }

    /// Writes out everything, stops the replica, and waits until its thread, sockets and directory are free. The next start needs
    /// no recovery then, and a group of which every replica was shut down goes on where it was.
    ///
    /// # Errors
    /// When the replica had stopped by itself before, or the disk failed.
    pub async fn shutdown(self) -> Result<(), NodeError> {
        self.control.shut_down();
        self.wait().await
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.control.stop();
        // Nothing is ever sent: the end of the channel is the end of the task.
        let _ = self.done.get_mut().unwrap_or_else(PoisonError::into_inner).recv();
    }
}

/// A thread of its own for a replica.
pub(crate) fn spawn(task: ReplicaTask) -> io::Result<()> {
    std::thread::Builder::new().name("replica".to_owned()).spawn(task).map(drop)
}

/// How long an address may be in use: a process that was killed just now keeps its own until the kernel has cleared it away.
const ADDRESS_PATIENCE: Duration = Duration::from_secs(2);

/// How long to wait before an address that is in use is tried again.
const ADDRESS_RETRY: Duration = Duration::from_millis(20);

fn listen(address: &str, purpose: &'static str) -> Result<TcpListener, StartError> {
    let patience_ends = Instant::now() + ADDRESS_PATIENCE;
    loop {
        match TcpListener::bind(address) {
            Ok(listener) => return Ok(listener),
            Err(source) if source.kind() != ErrorKind::AddrInUse => {
                return Err(StartError::Listen { address: address.to_owned(), purpose, source });
            }
            Err(_) if Instant::now() >= patience_ends => {
                return Err(StartError::AddressInUse { address: address.to_owned(), purpose });
            }
            Err(_) => std::thread::sleep(ADDRESS_RETRY),
        }
    }
}
