//! A replica's directory: locked by one process, formatted once, its identity file replaced atomically.

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use viewstamped_protocol::InstanceId;

use crate::identity_file::{FileError, IDENTITY_TEMPORARY, IdentityFile, SaveError};
use crate::io::{RealDisk, WholeFileError};

const LOCK: &str = "lock";

/// What may be in a directory without anybody having put it there: the root of a file system has a `lost+found`.
const HARMLESS: [&str; 3] = [LOCK, IDENTITY_TEMPORARY, "lost+found"];

/// A replica's directory, locked for this process until it is dropped.
#[derive(Debug)]
pub struct Directory {
    path: PathBuf,
    /// Holds the lock.
    _lock: File,
}

/// What a directory holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// Nothing: a replica that was never there, or has lost everything.
    Empty,
    /// A formatted or rebuilt replica.
    Identity(Box<IdentityFile>),
}

/// Why a directory cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DirectoryError {
    /// There is no such directory.
    #[error(
        "{} does not exist; if it is on a disk of its own, mount that disk; otherwise create it with `mkdir -p {}`, or let \
         `vr format` create it for a new cluster", path.display(), path.display()
    )]
    Missing {
        /// The directory.
        path: PathBuf,
    },
    /// Something else has this name.
    #[error("{} is not a directory; name the directory of the replica", path.display())]
    NotADirectory {
        /// The path.
        path: PathBuf,
    },
    /// Another process uses it.
    #[error(
        "{} is in use by {}; two replicas never share a directory: stop that process, or name another directory",
        path.display(), holder.map_or("another process".to_owned(), |pid| format!("process {pid}"))
    )]
    InUse {
        /// The directory.
        path: PathBuf,
        /// The process id of the other process, when it is known.
        holder: Option<u32>,
    },
    /// It belongs to another program.
    #[error(
        "{} has no identity file but holds other files, for example `{example}`, so it is not the directory of a replica; name an \
         empty directory", path.display()
    )]
    Foreign {
        /// The directory.
        path: PathBuf,
        /// One of the other files.
        example: String,
    },
    /// The identity file is damaged.
    #[error(
        "the identity file of {} is damaged: {reason}; the replica must not guess who it was. Move {} away and run `vr start \
         --cluster ID --replica I --peers HOST:PORT,... {}` to recover this replica from its peers",
        path.display(), path.display(), path.display()
    )]
    Damaged {
        /// The directory.
        path: PathBuf,
        /// What is wrong with it.
        reason: FileError,
    },
    /// A later release wrote the identity file.
    #[error(
        "the identity file of {} was written by a later release: it has version {version}; start the replica with that release \
         or a later one", path.display()
    )]
    Newer {
        /// The directory.
        path: PathBuf,
        /// The version found.
        version: u32,
    },
    /// `format` was asked for a directory that is formatted.
    #[error(
        "{} already belongs to replica {} of cluster {}, and is never formatted again; start it with `vr start {}`, or name an \
         empty directory for another replica", path.display(), identity.node.0, identity.cluster, path.display()
    )]
    AlreadyFormatted {
        /// The directory.
        path: PathBuf,
        /// Whose it is.
        identity: Box<IdentityFile>,
    },
    /// The identity does not fit into a file.
    #[error("the identity cannot be written to {}: {reason}; correct the member list", path.display())]
    Unwritable {
        /// The directory.
        path: PathBuf,
        /// What is wrong with it.
        reason: FileError,
    },
    /// The operating system refused something.
    #[error("cannot {action} {}: {source}; check its owner, its permissions and the disk", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
}

impl Directory {
    /// Locks a directory for this process. Creates nothing but the lock file in it.
    ///
    /// # Errors
    /// When there is no such directory, it is in use, or the lock file cannot be written.
    pub fn lock(path: impl AsRef<Path>) -> Result<Self, DirectoryError> {
        let path = path.as_ref();
        let metadata = fs::metadata(path).map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => DirectoryError::Missing { path: path.to_owned() },
            _ => failed("read", path)(source),
        })?;
        if !metadata.is_dir() {
            return Err(DirectoryError::NotADirectory { path: path.to_owned() });
        }
        let lock_path = path.join(LOCK);
        let options = OpenOptions::new().read(true).write(true).create(true).truncate(false).clone();
        let mut lock = options.open(&lock_path).map_err(failed("open", &lock_path))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(DirectoryError::InUse { path: path.to_owned(), holder: read_holder(&mut lock) });
            }
            Err(TryLockError::Error(source)) => return Err(failed("lock", &lock_path)(source)),
        }
        lock.set_len(0).map_err(failed("write", &lock_path))?;
        writeln!(lock, "{}", std::process::id()).map_err(failed("write", &lock_path))?;
        Ok(Self { path: path.to_owned(), _lock: lock })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What it holds.
    ///
    /// # Errors
    /// When the identity file is unreadable, damaged or of a later release, or the directory belongs to something else.
    pub fn load(&self) -> Result<Found, DirectoryError> {
        match IdentityFile::load(&self.disk()).map_err(|error| self.refused(error))? {
            None => self.require_empty(),
            Some(Ok(identity)) => Ok(Found::Identity(Box::new(identity))),
            Some(Err(FileError::Newer { found, .. })) => {
                Err(DirectoryError::Newer { path: self.path.clone(), version: found })
            }
            Some(Err(reason)) => Err(DirectoryError::Damaged { path: self.path.clone(), reason }),
        }
    }

    /// Replaces the identity file: after a crash at any moment either the old or the new one is there, whole.
    ///
    /// An error means that it is unknown which of the two a restart would find, so the replica must stop: the operating system may
    /// have dropped what it could not write, and a second try that succeeds proves nothing.
    ///
    /// # Errors
    /// When anything could not be written or made durable.
    pub fn save(&mut self, identity: &IdentityFile) -> Result<(), DirectoryError> {
        identity.save(&self.disk()).map_err(|error| match error {
            SaveError::Unwritable(reason) => DirectoryError::Unwritable { path: self.path.clone(), reason },
            SaveError::Disk(error) => self.refused(error),
        })
    }

    /// Its files.
    #[must_use]
    pub fn disk(&self) -> RealDisk {
        RealDisk::new(&self.path)
    }

    fn refused(&self, error: WholeFileError) -> DirectoryError {
        let WholeFileError { action, name, source } = error;
        failed(action, &self.path.join(name))(source)
    }

    fn require_empty(&self) -> Result<Found, DirectoryError> {
        let entries = fs::read_dir(&self.path).map_err(failed("read", &self.path))?;
        for entry in entries {
            let name = entry.map_err(failed("read", &self.path))?.file_name();
            if !HARMLESS.map(OsStr::new).contains(&name.as_os_str()) {
                let example = name.to_string_lossy().into_owned();
                return Err(DirectoryError::Foreign { path: self.path.clone(), example });
            }
        }
        Ok(Found::Empty)
    }
}

/// Makes `path` the directory of a replica of a new cluster, and creates it when it does not exist. `identity` says everything but
/// the instance, which is `instance`: 128 random bits from the operating system, never used before.
///
/// # Errors
/// When the directory is formatted, in use, holds anything else, or cannot be written.
pub fn format(
    path: impl AsRef<Path>,
    mut identity: IdentityFile,
    instance: InstanceId,
) -> Result<IdentityFile, DirectoryError> {
    let path = path.as_ref();
    identity.identity = viewstamped_protocol::Identity::formatted(instance);
    // Before anything is created.
    identity.encode().map_err(|reason| DirectoryError::Unwritable { path: path.to_owned(), reason })?;
    create(path)?;
    let mut directory = Directory::lock(path)?;
    match directory.load()? {
        Found::Empty => directory.save(&identity)?,
        Found::Identity(identity) => {
            return Err(DirectoryError::AlreadyFormatted { path: path.to_owned(), identity });
        }
    }
    Ok(identity)
}

/// Creates a directory and those above it, as far as they do not exist, and makes their names durable.
///
/// # Errors
/// When the operating system refuses.
pub fn create(path: impl AsRef<Path>) -> Result<(), DirectoryError> {
    let path = path.as_ref();
    let missing: Vec<&Path> = path.ancestors().take_while(|ancestor| !is_there(ancestor)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    fs::create_dir_all(path).map_err(failed("create", path))?;
    for created in missing {
        let parent = created.parent().filter(|parent| !parent.as_os_str().is_empty());
        sync_directory(parent.unwrap_or(Path::new(".")))?;
    }
    Ok(())
}

/// The empty path, above a relative one, is the current directory.
fn is_there(path: &Path) -> bool {
    path.as_os_str().is_empty() || path.exists()
}

/// A new name in a directory is durable only when the directory is.
fn sync_directory(path: &Path) -> Result<(), DirectoryError> {
    File::open(path).and_then(|directory| directory.sync_all()).map_err(failed("make durable", path))
}

fn read_holder(lock: &mut File) -> Option<u32> {
    let mut text = String::new();
    lock.take(16).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> DirectoryError + use<> {
    let path = path.to_owned();
    move |source| DirectoryError::Io { action, path, source }
}

#[cfg(test)]
pub(crate) mod tests;
