//! A disk in memory that keeps its promises and no more: what was not synced may survive a power cut, in any part and order.

mod file;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use file::FileContent;

use super::{Disk, DiskFile, SECTOR_BYTES};

/// A directory of files in memory. Clones are handles to the same disk.
///
/// It is plain data and draws nothing itself: whatever a power cut leaves open is asked of the caller, as a number below a bound.
/// Every call of [`Disk`] and [`DiskFile`] is counted, so that a test can let each of them fail in turn.
#[derive(Clone, Debug, Default)]
pub struct SimulatedDisk {
    state: Arc<Mutex<State>>,
}

/// What goes wrong with one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The disk reports an error. A write leaves half of its sectors; a sync has dropped what was not durable, and later syncs do not
    /// tell, as Linux has it.
    Error,
    /// There is no space. A write leaves half of its sectors.
    NoSpace,
    /// The power goes: this call and all later ones fail until [`SimulatedDisk::cut_power`]. A write may be found afterwards.
    PowerCut,
    /// A write that is reported as done never reaches the disk: it can be read until the power is cut.
    LostWrite,
    /// A write that is reported as done hits another place of the file, so many bytes further on.
    MisdirectedWrite {
        /// The distance in bytes, negative for an earlier place.
        by: i64,
    },
}

/// A name that was changed and not yet made durable.
#[derive(Clone, Debug)]
enum NameChange {
    Created { name: String, file: u64 },
    Renamed { from: String, to: String },
    Removed { name: String },
}

#[derive(Clone, Debug, Default)]
struct State {
    /// Every file that has or had a name, by a number that is never used again.
    files: BTreeMap<u64, FileContent>,
    /// The names as calls see them.
    names: BTreeMap<String, u64>,
    /// The names that a power cut leaves at least.
    durable_names: BTreeMap<String, u64>,
    /// What was changed since, in order.
    name_changes: Vec<NameChange>,
    files_created: u64,
    /// Calls so far.
    calls: u64,
    /// By the number of the call, the first being 0.
    faults: BTreeMap<u64, Fault>,
    /// Bytes that all files together may have, if there is a bound.
    space: Option<u64>,
    /// Power cuts so far: a handle of before is dead.
    power_cuts: u64,
    without_power: bool,
}

impl SimulatedDisk {
    /// An empty disk without faults.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Another disk with the same content and faults.
    #[must_use]
    pub fn fork(&self) -> Self {
        Self { state: Arc::new(Mutex::new(self.lock().clone())) }
    }

    /// Calls so far.
    #[must_use]
    pub fn calls(&self) -> u64 {
        self.lock().calls
    }

    /// Lets the call of this number go wrong; the first call has the number 0.
    pub fn fail_call(&self, call: u64, fault: Fault) {
        self.lock().faults.insert(call, fault);
    }

    /// Sets how many bytes all files together may have; `None` is no bound.
    pub fn set_space(&self, bytes: Option<u64>) {
        self.lock().space = bytes;
    }

    /// Cuts the power and restores it. Of everything that was not synced a part survives: of each sector any content that it had
    /// since the last sync, of each length any that there was or one in between, of the names those of some moment. `below(n)`
    /// chooses, by a number below `n`. Open files are dead afterwards.
    pub fn cut_power(&self, below: &mut dyn FnMut(u64) -> u64) {
        let mut state = self.lock();
        state.power_cuts += 1;
        state.without_power = false;
        let surviving = below(state.name_changes.len() as u64 + 1);
        let changes: Vec<NameChange> = state.name_changes.drain(..).take(surviving as usize).collect();
        for change in changes {
            apply(&mut state.durable_names, change);
        }
        state.names = state.durable_names.clone();
        let State { files, names, .. } = &mut *state;
        files.retain(|number, _| names.values().any(|named| named == number));
        for file in files.values_mut() {
            file.cut_power(below);
        }
    }

    /// Loses every file, as a replaced disk has. Open files are dead afterwards.
    pub fn lose_everything(&self) {
        let mut state = self.lock();
        let (calls, power_cuts) = (state.calls, state.power_cuts + 1);
        *state = State { calls, power_cuts, ..State::default() };
    }

    /// The bytes of a file as calls see them, if there is one of this name.
    #[must_use]
    pub fn content(&self, name: &str) -> Option<Vec<u8>> {
        let state = self.lock();
        let file = state.names.get(name)?;
        Some(state.files[file].content().to_vec())
    }

    /// Replaces what the disk holds of a file, durably and behind everybody's back: rot, truncation, foreign content. Creates the
    /// file when there is none of this name.
    pub fn replace(&self, name: &str, bytes: Vec<u8>) {
        let mut state = self.lock();
        let file = state.names.get(name).copied().unwrap_or(state.files_created);
        if file == state.files_created {
            state.files_created += 1;
            state.names.insert(name.to_owned(), file);
            state.durable_names.insert(name.to_owned(), file);
        }
        state.files.insert(file, FileContent::durable(bytes));
    }

    /// Inverts one bit of a file, behind everybody's back. Nothing happens beyond its end.
    pub fn flip_bit(&self, name: &str, bit: u64) {
        let mut state = self.lock();
        if let Some(file) = state.names.get(name).copied() {
            state.file(file).flip_bit(bit);
        }
    }

    /// Lets reads of the sector with this byte of a file fail, until it is written again.
    pub fn make_unreadable(&self, name: &str, byte: u64) {
        let mut state = self.lock();
        if let Some(file) = state.names.get(name).copied() {
            state.file(file).make_unreadable(byte);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // The state is whole between any two statements that could panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Counts a call, and tells what goes wrong with it.
    fn call(&mut self) -> io::Result<Option<Fault>> {
        let call = self.calls;
        self.calls += 1;
        if self.without_power {
            return Err(io::Error::other("the simulated disk is without power"));
        }
        let fault = self.faults.remove(&call);
        self.without_power = fault == Some(Fault::PowerCut);
        Ok(fault)
    }

    /// Counts a call that has no effect when it fails.
    fn call_without_effect(&mut self) -> io::Result<()> {
        self.call()?.map_or(Ok(()), |fault| error_of(fault).map_or(Ok(()), Err))
    }

    fn file(&mut self, number: u64) -> &mut FileContent {
        self.files.get_mut(&number).expect("files go only with a power cut, which ends their handles")
    }

    fn change_name(&mut self, change: NameChange) {
        apply(&mut self.names, change.clone());
        self.name_changes.push(change);
    }

    /// How many bytes a file of `now` bytes may have, when it is to have `then`.
    fn longest(&self, now: u64, then: u64) -> u64 {
        let used: u64 = self.names.values().map(|file| self.files[file].content().len() as u64).sum();
        let free = self.space.map_or(u64::MAX, |space| space.saturating_sub(used));
        then.min(now.saturating_add(free))
    }
}

/// The error that a call reports, if it reports one.
fn error_of(fault: Fault) -> Option<io::Error> {
    match fault {
        Fault::Error => Some(io::Error::other("the simulated disk reports an error")),
        Fault::NoSpace => Some(no_space()),
        Fault::PowerCut => Some(io::Error::other("the simulated disk lost its power")),
        Fault::LostWrite | Fault::MisdirectedWrite { .. } => None,
    }
}

fn no_space() -> io::Error {
    io::Error::new(io::ErrorKind::StorageFull, "the simulated disk is full")
}

fn not_found(name: &str) -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, format!("the simulated disk has no file `{name}`"))
}

fn apply(names: &mut BTreeMap<String, u64>, change: NameChange) {
    match change {
        NameChange::Created { name, file } => {
            names.insert(name, file);
        }
        NameChange::Renamed { from, to } => {
            let file = names.remove(&from).expect("changes are applied in order, and it was there");
            names.insert(to, file);
        }
        NameChange::Removed { name } => {
            names.remove(&name);
        }
    }
}

impl Disk for SimulatedDisk {
    fn open(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        let mut state = self.lock();
        state.call_without_effect()?;
        let number = *state.names.get(name).ok_or_else(|| not_found(name))?;
        Ok(Box::new(SimulatedFile { disk: self.clone(), number, power_cuts: state.power_cuts }))
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        let mut state = self.lock();
        state.call_without_effect()?;
        let number = match state.names.get(name) {
            Some(number) => *number,
            None => {
                let number = state.files_created;
                state.files_created += 1;
                state.files.insert(number, FileContent::default());
                state.change_name(NameChange::Created { name: name.to_owned(), file: number });
                number
            }
        };
        state.file(number).set_length(0);
        Ok(Box::new(SimulatedFile { disk: self.clone(), number, power_cuts: state.power_cuts }))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.lock();
        state.call_without_effect()?;
        state.names.get(from).ok_or_else(|| not_found(from))?;
        state.change_name(NameChange::Renamed { from: from.to_owned(), to: to.to_owned() });
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut state = self.lock();
        state.call_without_effect()?;
        state.names.get(name).ok_or_else(|| not_found(name))?;
        state.change_name(NameChange::Removed { name: name.to_owned() });
        Ok(())
    }

    fn sync_names(&self) -> io::Result<()> {
        let mut state = self.lock();
        state.call_without_effect()?;
        state.name_changes.clear();
        state.durable_names = state.names.clone();
        Ok(())
    }
}

/// An open file of a simulated disk.
#[derive(Debug)]
struct SimulatedFile {
    disk: SimulatedDisk,
    number: u64,
    /// Those that there were when it was opened.
    power_cuts: u64,
}

impl SimulatedFile {
    fn state(&self) -> io::Result<MutexGuard<'_, State>> {
        let state = self.disk.lock();
        match state.power_cuts == self.power_cuts {
            true => Ok(state),
            false => Err(io::Error::other("the simulated disk lost its power since this file was opened")),
        }
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.state()?;
        let fault = state.call()?;
        let error = fault.and_then(error_of);
        let file = state.file(self.number);
        match error {
            None => file.sync(),
            // What the power cut interrupted may have been written, or not.
            Some(error) if fault == Some(Fault::PowerCut) => return Err(error),
            Some(error) => {
                file.fail_sync();
                return Err(error);
            }
        }
        Ok(())
    }
}

impl DiskFile for SimulatedFile {
    fn length(&self) -> io::Result<u64> {
        let mut state = self.state()?;
        state.call_without_effect()?;
        Ok(state.file(self.number).content().len() as u64)
    }

    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<()> {
        let mut state = self.state()?;
        state.call_without_effect()?;
        let content = state.file(self.number).content();
        let range = usize::try_from(offset).ok().and_then(|offset| content.get(offset..)?.get(..bytes.len()));
        bytes.copy_from_slice(range.ok_or(io::ErrorKind::UnexpectedEof)?);
        match state.file(self.number).is_readable(offset, bytes.len()) {
            true => Ok(()),
            false => Err(io::Error::other("the simulated disk cannot read a sector")),
        }
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut state = self.state()?;
        let fault = state.call()?;
        let length = state.file(self.number).content().len() as u64;
        let end = state.longest(length, offset + bytes.len() as u64);
        let fits = usize::try_from(end.saturating_sub(offset)).expect("it is in memory").min(bytes.len());
        // What fails, fails between two sectors.
        let half = fits / 2 / SECTOR_BYTES * SECTOR_BYTES;
        let file = state.file(self.number);
        match fault {
            Some(Fault::LostWrite) => file.write_lost(&bytes[..fits], offset),
            Some(Fault::MisdirectedWrite { by }) => file.write_misdirected(&bytes[..fits], offset, by),
            Some(Fault::Error | Fault::NoSpace) => file.write(&bytes[..half], offset),
            Some(Fault::PowerCut) | None => file.write(&bytes[..fits], offset),
        }
        match fault.and_then(error_of) {
            Some(error) => Err(error),
            None if fits < bytes.len() => Err(no_space()),
            None => Ok(()),
        }
    }

    fn set_length(&self, bytes: u64) -> io::Result<()> {
        let mut state = self.state()?;
        state.call_without_effect()?;
        let now = state.file(self.number).content().len() as u64;
        // A hole takes no space; the bound is on lengths all the same, so that a full disk is full for everybody.
        if bytes > now && state.longest(now, bytes) < bytes {
            return Err(no_space());
        }
        state.file(self.number).set_length(usize::try_from(bytes).expect("it is in memory"));
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        self.sync()
    }

    fn sync_all(&self) -> io::Result<()> {
        self.sync()
    }
}
