//! Small files that are read and replaced as a whole.

use std::io;

use super::Disk;

/// What a disk refused.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} `{name}`: {source}; check its owner, its permissions and the disk")]
pub struct WholeFileError {
    /// What was tried.
    pub action: &'static str,
    /// On which file.
    pub name: &'static str,
    /// What the disk says.
    pub source: io::Error,
}

/// Reads a file, if there is one: all of it, or one byte more than `bytes_max`.
///
/// # Errors
/// When it cannot be read, though it is there.
pub(crate) fn read(disk: &dyn Disk, name: &'static str, bytes_max: usize) -> Result<Option<Vec<u8>>, WholeFileError> {
    let file = match disk.open(name) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed("open", name)(error)),
    };
    let length = file.length().map_err(failed("read", name))?;
    let mut bytes = vec![0; usize::try_from(length).unwrap_or(usize::MAX).min(bytes_max + 1)];
    file.read_at(&mut bytes, 0).map_err(failed("read", name))?;
    Ok(Some(bytes))
}

/// Replaces a file, or creates it: after a crash at any moment there is the old one or the new one, whole. When this returns, it is
/// the new one.
///
/// # Errors
/// When it is unknown which of the two a restart would find.
pub(crate) fn replace(
    disk: &dyn Disk,
    name: &'static str,
    temporary: &'static str,
    bytes: &[u8],
) -> Result<(), WholeFileError> {
    let file = disk.create(temporary).map_err(failed("create", temporary))?;
    file.write_at(bytes, 0).map_err(failed("write", temporary))?;
    file.sync_all().map_err(failed("make durable", temporary))?;
    disk.rename(temporary, name).map_err(failed("replace", name))?;
    disk.sync_names().map_err(failed("make durable the name of", name))
}

/// Removes a file, durably. There may be none: then whoever removed it may have failed to make that durable.
///
/// # Errors
/// When it is unknown whether a restart would find it.
pub(crate) fn erase(disk: &dyn Disk, name: &'static str) -> Result<(), WholeFileError> {
    match disk.remove(name) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed("remove", name)(error)),
        _ => {}
    }
    disk.sync_names().map_err(failed("make durable that there is no", name))
}

fn failed(action: &'static str, name: &'static str) -> impl FnOnce(io::Error) -> WholeFileError {
    move |source| WholeFileError { action, name, source }
}
