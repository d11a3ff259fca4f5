//! Fetching a checkpoint from other replicas (5.1, 5.2): "uses the Merkle tree to determine which pages to fetch".
//!
//! The checkpoint is named by its root, so every page that comes is verified by itself, whoever sends it, and pages of two
//! checkpoints are never mixed (docs/deviations.md, T6). Sources that do not answer, or no longer have the checkpoint, are given
//! up for others, the primary last: it has enough to do. When nobody has it any more, the tree of a newer one is walked, and what
//! was fetched is used where it is the same.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use viewstamped_state::{Fetch, Root};

use super::Replica;
use super::io::{Event, Ignored, Output, TransferReport};
use super::status::Status;
use crate::checkpoint::{CheckpointHeader, CheckpointId};
use crate::codec::decode_checkpoint_header;
use crate::message::{Body, GetPages, Header, NewRoot, Pages, Part};
use crate::numbers::{NodeId, Time};
use crate::options::Options;
use crate::service::Service;

/// A checkpoint that is being fetched.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct CheckpointTransfer {
    target: CheckpointId,
    /// What it holds besides pages, once that has come.
    header: Option<CheckpointHeader>,
    is_header_asked: bool,
    service: Fetch,
    client_table: Fetch,
    /// The questions that are not answered, by their numbers.
    questions: BTreeMap<u64, Question>,
    next_number: u64,
    /// Sources that did not help.
    given_up: BTreeSet<NodeId>,
    /// The newest checkpoint that was named instead.
    offered: CheckpointId,
    /// Before this nothing more is asked: the limit of bytes in a second.
    ask_at: Time,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Question {
    source: NodeId,
    parts: Vec<Part>,
    due: Time,
}

impl CheckpointTransfer {
    /// When to give up the source that has not answered for longest, or to go on.
    pub(super) fn next_deadline(&self) -> Option<Time> {
        let due = self.questions.values().map(|question| question.due).min();
        Some(due.unwrap_or(self.ask_at))
    }

    pub(super) fn report(&self) -> TransferReport {
        let (service, client_table) = (self.service.progress(), self.client_table.progress());
        TransferReport { checkpoint: self.target, service, client_table }
    }

    /// What has come so far: grows.
    pub(super) fn parts_fetched(&self) -> u64 {
        self.service.progress().parts_fetched + self.client_table.progress().parts_fetched
    }

    /// The next part to ask for. Nothing else is of use before the header, which names the roots.
    fn next_part(&mut self) -> Option<Part> {
        if self.header.is_none() {
            return (!std::mem::replace(&mut self.is_header_asked, true)).then_some(Part::Header);
        }
        let client_table = self.client_table.next().map(Part::ClientTable);
        client_table.or_else(|| self.service.next().map(Part::Service))
    }

    fn ask_again(&mut self, part: &Part) {
        match part {
            Part::Header => self.is_header_asked = false,
            Part::Service(place) => self.service.ask_again(place),
            Part::ClientTable(place) => self.client_table.ask_again(place),
        }
    }

    /// Takes a part that was asked for.
    fn give(&mut self, part: &Part, bytes: Bytes) -> Result<(), Ignored> {
        let given = match part {
            Part::Header => return self.take_header(&bytes),
            Part::Service(place) => self.service.give(place, bytes),
            Part::ClientTable(place) => self.client_table.give(place, bytes),
        };
        given.map(drop).map_err(|_| Ignored::Malformed)
    }

    fn take_header(&mut self, bytes: &Bytes) -> Result<(), Ignored> {
        let header = decode_checkpoint_header(bytes).map_err(|_| Ignored::Malformed)?;
        if header.id() != self.target {
            return Err(Ignored::Malformed);
        }
        self.service = self.service.clone().retarget(header.service);
        self.client_table = self.client_table.clone().retarget(header.client_table);
        self.header = Some(header);
        Ok(())
    }

    /// The source of this question is of no use: others get its parts to find.
    fn give_up(&mut self, number: u64) {
        let Some(question) = self.questions.remove(&number) else { return };
        self.given_up.insert(question.source);
        question.parts.iter().for_each(|part| self.ask_again(part));
        let others: Vec<u64> = self.questions_to(question.source).collect();
        others.into_iter().for_each(|number| self.give_up(number));
    }

    fn questions_to(&self, source: NodeId) -> impl Iterator<Item = u64> {
        self.questions.iter().filter(move |(_, question)| question.source == source).map(|(number, _)| *number)
    }

    /// Fetches another checkpoint instead.
    fn retarget(&mut self, target: CheckpointId) {
        self.target = target;
        self.header = None;
        self.is_header_asked = false;
        self.questions.clear();
        self.given_up.clear();
        self.service.ask_all_again();
        self.client_table.ask_all_again();
    }

    fn is_complete(&self) -> bool {
        self.header.is_some() && self.service.state().is_some() && self.client_table.state().is_some()
    }

    /// How many parts go into one question.
    fn parts_max(options: &Options) -> usize {
        (options.transfer_bytes_max / 4_096).clamp(1, 1_024)
    }
}

impl<S: Service> Replica<S> {
    /// Begins to fetch a checkpoint, or goes on with the one that is being fetched.
    pub(super) fn start_checkpoint_transfer(&mut self, target: CheckpointId) {
        let is_of_use = target.op > self.executor.executed() || self.checkpoints.is_divergent();
        if self.checkpoint_transfer.is_some() || !is_of_use || matches!(self.status, Status::Primary(_)) {
            return;
        }
        // Pages are looked for where their hashes are known: in the newest checkpoint.
        let (service, client_table) = self.checkpoints.newest_states(self.cluster_options.page_options());
        let options = self.cluster_options.page_options();
        let nothing = Root::default();
        self.checkpoint_transfer = Some(CheckpointTransfer {
            target,
            header: None,
            is_header_asked: false,
            service: Fetch::new(nothing, options, service),
            client_table: Fetch::new(nothing, options, client_table),
            questions: BTreeMap::new(),
            next_number: 0,
            given_up: BTreeSet::new(),
            offered: CheckpointId::default(),
            ask_at: self.now.monotonic,
        });
        self.outputs.push_back(Output::Event(Event::TransferStarted { checkpoint: target }));
        self.ask_for_pages();
    }

    /// Whoever is asked for pages at present: all others that were not given up, the primary only if there is nobody else.
    fn page_sources(&self, given_up: &BTreeSet<NodeId>) -> Vec<NodeId> {
        let primary = self.primary_of(self.heard_view.max(self.view));
        let mut sources = self.others();
        sources.retain(|id| !given_up.contains(id));
        if sources.iter().any(|id| *id != primary) {
            sources.retain(|id| *id != primary);
        }
        // Not all replicas begin with the same one.
        let place = usize::try_from(self.id.0 % sources.len().max(1) as u64).expect("below a length");
        sources.rotate_left(place);
        sources.truncate(self.options.pages_sources_max.max(1));
        sources
    }

    /// Asks for what is missing, as far as windows and the limit of bytes allow.
    fn ask_for_pages(&mut self) {
        let Some(mut transfer) = self.checkpoint_transfer.take() else { return };
        self.choose_root(&mut transfer);
        for source in self.page_sources(&transfer.given_up) {
            while transfer.questions_to(source).count() < self.options.pages_window.max(1)
                && transfer.ask_at <= self.now.monotonic
            {
                let parts_max = CheckpointTransfer::parts_max(&self.options);
                let parts: Vec<Part> = std::iter::from_fn(|| transfer.next_part()).take(parts_max).collect();
                if parts.is_empty() {
                    break;
                }
                self.send_get_pages(&mut transfer, source, parts);
            }
        }
        self.checkpoint_transfer = Some(transfer);
    }

    fn send_get_pages(&mut self, transfer: &mut CheckpointTransfer, source: NodeId, parts: Vec<Part>) {
        let (number, checkpoint) = (transfer.next_number, transfer.target);
        let bytes_max = u32::try_from(self.options.transfer_bytes_max).unwrap_or(u32::MAX);
        let due = self.now.monotonic.after(self.options.pages_retry);
        transfer.next_number += 1;
        transfer.questions.insert(number, Question { source, parts: parts.clone(), due });
        self.send(source, Body::GetPages(Box::new(GetPages { number, checkpoint, parts, bytes_max })));
    }

    /// When all sources were given up: the newer checkpoint that they named, or all of them once more.
    fn choose_root(&mut self, transfer: &mut CheckpointTransfer) {
        if !self.page_sources(&transfer.given_up).is_empty() {
            return;
        }
        if transfer.offered.op > transfer.target.op {
            let checkpoint = transfer.offered;
            self.outputs.push_back(Output::Event(Event::TransferStarted { checkpoint }));
            transfer.retarget(checkpoint);
        } else {
            transfer.given_up.clear();
            transfer.ask_at = self.now.monotonic.after(self.options.transfer_retry);
        }
    }

    // At the source.

    /// 5.1: "the application maintains a Merkle tree over the pages in the snapshot". Answered in any status that has a checkpoint.
    pub(super) fn on_get_pages(&mut self, header: Header, m: GetPages) -> Result<(), Ignored> {
        let GetPages { number, checkpoint: id, parts, bytes_max } = m;
        let until = self.now.monotonic.after(self.options.checkpoint_pin);
        let Some(checkpoint) = self.checkpoints.pin(header.from, id, until) else {
            let checkpoint = self.checkpoints.to_offer().unwrap_or_default();
            self.send(header.from, Body::NewRoot(NewRoot { number, checkpoint }));
            return Ok(());
        };
        let bytes_max = self.options.transfer_bytes_max.min(bytes_max as usize);
        let (mut pages, mut bytes) = (Vec::new(), 0);
        for part in &parts {
            let page = match part {
                Part::Header => Some(checkpoint.header.encode().freeze()),
                Part::Service(place) => checkpoint.service.part(place),
                Part::ClientTable(place) => checkpoint.client_table.part(place),
            };
            let Some(page) = page else { return Err(Ignored::Malformed) };
            bytes += page.len();
            if bytes > bytes_max && !pages.is_empty() {
                break;
            }
            pages.push(page);
        }
        if pages.is_empty() {
            return Err(Ignored::Malformed);
        }
        self.send(header.from, Body::Pages(Box::new(Pages { number, checkpoint: id, pages })));
        Ok(())
    }

    // The answers.

    pub(super) fn on_pages(&mut self, header: Header, m: Pages) -> Result<(), Ignored> {
        let Some(transfer) = &mut self.checkpoint_transfer else { return Err(Ignored::Unasked) };
        let is_answer = |question: &Question| question.source == header.from && question.parts.len() >= m.pages.len();
        if transfer.target != m.checkpoint || !transfer.questions.get(&m.number).is_some_and(is_answer) {
            return Err(Ignored::Unasked);
        }
        let question = transfer.questions.remove(&m.number).expect("just found");
        let bytes: usize = m.pages.iter().map(Bytes::len).sum();
        let mut pages = m.pages.into_iter();
        let mut result = if pages.len() == 0 { Err(Ignored::Malformed) } else { Ok(()) };
        for part in &question.parts {
            let given = pages.next().map_or(Err(Ignored::Unasked), |page| transfer.give(part, page));
            if given == Err(Ignored::Malformed) {
                result = given;
                transfer.given_up.insert(header.from);
            }
            if given.is_err() {
                transfer.ask_again(part);
            }
        }
        let paused = pause(bytes, self.options.pages_bytes_per_second_max);
        transfer.ask_at = transfer.ask_at.max(self.now.monotonic).after(paused);
        self.note_pages_came();
        self.install_or_ask_on();
        result
    }

    /// The source has moved on.
    pub(super) fn on_new_root(&mut self, header: Header, m: NewRoot) -> Result<(), Ignored> {
        let Some(transfer) = &mut self.checkpoint_transfer else { return Err(Ignored::Unasked) };
        if transfer.questions.get(&m.number).is_none_or(|question| question.source != header.from) {
            return Err(Ignored::Unasked);
        }
        if m.checkpoint.op > transfer.offered.op {
            transfer.offered = m.checkpoint;
        }
        transfer.give_up(m.number);
        self.ask_for_pages();
        Ok(())
    }

    fn install_or_ask_on(&mut self) {
        match self.checkpoint_transfer.take_if(|transfer| transfer.is_complete()) {
            Some(transfer) => self.install_fetched(transfer),
            None => self.ask_for_pages(),
        }
    }

    /// Installs what was fetched. Where that makes no sense the checkpoint was not made by a replica; it is fetched no more.
    fn install_fetched(&mut self, transfer: CheckpointTransfer) {
        let (Some(header), Some(service), Some(client_table)) =
            (transfer.header, transfer.service.state(), transfer.client_table.state())
        else {
            unreachable!("asked by whether it is complete")
        };
        if let Err(reason) = self.install_checkpoint(header, service, client_table) {
            *self.ignored.entry(reason).or_default() += 1;
        }
    }

    /// Pages arrive: recovery and the view change make progress.
    fn note_pages_came(&mut self) {
        let retry_at = self.now.monotonic.after(self.options.recovery_retry_max);
        let transfer_retry_at = self.now.monotonic.after(self.options.pages_retry);
        if let Status::Recovering(recovering) = &mut self.status {
            recovering.retry_at = retry_at;
        }
        if let Some(transfer) = &mut self.transfer {
            // What is missing of the log can be asked for when the checkpoint is there.
            transfer.retry_at = transfer_retry_at;
        }
        self.extend_view_change();
        self.tell_progress();
    }

    /// Gives up sources that do not answer, and a checkpoint that is no longer needed.
    pub(super) fn tick_checkpoint_transfer(&mut self) {
        let is_needless = |transfer: &mut CheckpointTransfer| transfer.target.op <= self.executor.executed();
        if !self.checkpoints.is_divergent() && self.checkpoint_transfer.take_if(is_needless).is_some() {
            return;
        }
        let now = self.now.monotonic;
        let Some(transfer) = &mut self.checkpoint_transfer else { return };
        let late: Vec<u64> =
            transfer.questions.iter().filter(|(_, q)| q.due <= now).map(|(number, _)| *number).collect();
        late.into_iter().for_each(|number| transfer.give_up(number));
        self.ask_for_pages();
    }
}

/// How long so many bytes take at this rate; no time at no rate.
fn pause(bytes: usize, bytes_per_second: usize) -> Duration {
    if bytes_per_second == 0 {
        return Duration::ZERO;
    }
    let nanos = bytes as u128 * 1_000_000_000 / bytes_per_second as u128;
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}
