//! All that storage asks of a disk. The logic above it runs on a real directory and on a simulated one that fails.

mod real;
mod simulated;
pub(crate) mod whole;

use std::fmt::Debug;
use std::io;

pub use real::RealDisk;
pub use simulated::{Fault, SimulatedDisk};
pub use whole::WholeFileError;

/// What a disk writes whole or not at all, in bytes. A crash leaves each sector old or new.
pub const SECTOR_BYTES: usize = 512;

/// A directory of files.
///
/// What was changed is durable only when a sync has returned without an error: content with [`DiskFile::sync_data`], names with
/// [`Disk::sync_names`]. A sync that failed may have dropped what it could not write, and the next one says nothing of it, so
/// whoever sees a sync fail must treat it as a crash.
pub trait Disk: Debug + Send + Sync {
    /// Opens a file for reading and writing.
    ///
    /// # Errors
    /// `NotFound` when there is none of this name.
    fn open(&self, name: &str) -> io::Result<Box<dyn DiskFile>>;

    /// Creates an empty file, or empties the one of this name.
    ///
    /// # Errors
    /// When the disk refuses.
    fn create(&self, name: &str) -> io::Result<Box<dyn DiskFile>>;

    /// Gives the file `from` the name `to`, whose file, if there was one, disappears: after a crash `to` is one of the two.
    ///
    /// # Errors
    /// When the disk refuses.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Removes a file.
    ///
    /// # Errors
    /// `NotFound` when there is none of this name.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// Makes the names durable: what was created, renamed and removed.
    ///
    /// # Errors
    /// When it is unknown which names a restart would find.
    fn sync_names(&self) -> io::Result<()>;
}

/// An open file.
pub trait DiskFile: Debug + Send + Sync {
    /// Its length in bytes.
    ///
    /// # Errors
    /// When the disk refuses.
    fn length(&self) -> io::Result<u64>;

    /// Fills `bytes` from `offset` on.
    ///
    /// # Errors
    /// `UnexpectedEof` when the file ends before; otherwise what the disk says.
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<()>;

    /// Writes all of `bytes` at `offset`, and makes the file longer where it must. An error leaves any part of them written.
    ///
    /// # Errors
    /// `StorageFull` when there is no space; otherwise what the disk says.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;

    /// Cuts the file, or makes it longer by zeros that take no space yet.
    ///
    /// # Errors
    /// When the disk refuses.
    fn set_length(&self, bytes: u64) -> io::Result<()>;

    /// Makes the content durable, and the length, as far as reading needs it.
    ///
    /// # Errors
    /// When it is unknown what a restart would find.
    fn sync_data(&self) -> io::Result<()>;

    /// Makes content, length and all else that the file system keeps of the file durable: due after it has become longer.
    ///
    /// # Errors
    /// When it is unknown what a restart would find.
    fn sync_all(&self) -> io::Result<()>;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::directory::tests::Scratch;

    /// What the logic above relies on; the simulated disk behaves as the real one, as long as nothing fails.
    #[test]
    fn real_and_simulated_disks_behave_alike() {
        let scratch = Scratch::new();
        for disk in [&RealDisk::new(scratch.path()) as &dyn Disk, &SimulatedDisk::new()] {
            assert_eq!(disk.open("f").unwrap_err().kind(), io::ErrorKind::NotFound);
            let file = disk.create("f").unwrap();
            file.write_at(b"abc", 2).unwrap();
            file.write_at(b"X", 3).unwrap();
            file.sync_all().unwrap();
            assert_eq!(read(disk, "f"), b"\0\0aXc");
            file.set_length(7).unwrap();
            file.set_length(4).unwrap();
            file.set_length(6).unwrap();
            file.sync_data().unwrap();
            assert_eq!(read(disk, "f"), b"\0\0aX\0\0");
            assert_eq!(file.read_at(&mut [0; 2], 5).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
            disk.create("g").unwrap().write_at(b"other", 0).unwrap();
            disk.rename("g", "f").unwrap();
            disk.sync_names().unwrap();
            assert_eq!(read(disk, "f"), b"other");
            assert_eq!(disk.open("g").unwrap_err().kind(), io::ErrorKind::NotFound);
            assert_eq!(disk.rename("g", "f").unwrap_err().kind(), io::ErrorKind::NotFound);
            assert_eq!(disk.create("f").unwrap().length().unwrap(), 0);
            disk.remove("f").unwrap();
            assert_eq!(disk.remove("f").unwrap_err().kind(), io::ErrorKind::NotFound);
        }
    }

    fn read(disk: &dyn Disk, name: &str) -> Vec<u8> {
        let file = disk.open(name).unwrap();
        let mut bytes = vec![1; usize::try_from(file.length().unwrap()).unwrap()];
        file.read_at(&mut bytes, 0).unwrap();
        bytes
    }
}
