//! Building a state out of parts that come from somewhere else.

mod draft;
mod known;
mod work;

use std::collections::BTreeSet;

use bytes::Bytes;

use crate::decoding::{self, BadPart, Named, Site};
use crate::place::{Kind, Place};
use crate::{PageOptions, Root, Snapshot, State};

use draft::{Desk, Draft, Part};
use known::Known;
use work::Work;

/// Builds the state with a given root out of parts from anywhere, each verified when it comes, and of what is there already.
///
/// It does nothing by itself: who drives it asks for the places that [`Fetch::next`] names, wherever there may be a state with this
/// root ([`State::part`] answers), and gives what comes to [`Fetch::give`], in any order, until [`Fetch::state`] has the state. What
/// is lost is asked for again with [`Fetch::ask_again`].
///
/// ```
/// # use viewstamped_state::{Fetch, PageOptions, State};
/// let source: State = (0..1_000).map(|number: u32| (number.to_be_bytes().to_vec(), "value")).collect();
/// let mut own = source.clone();
/// own.put(b"something", b"else");
///
/// let mut fetch = Fetch::new(source.root(), PageOptions::default(), own.snapshot());
/// while let Some(place) = fetch.next() {
///     let part = source.part(&place).expect("the source has what its root names");
///     fetch.give(&place, part).expect("and it is right");
/// }
/// let state = fetch.state().expect("nothing is missing");
/// assert_eq!(state.root(), source.root());
/// assert_eq!(fetch.progress().parts_fetched, 3); // Of some ten: the top, the root page, and a page that differs.
/// ```
///
/// Pages that the own state has are not asked for. They are looked for by their hash where the keys lie that they would hold, page by
/// page on the way down; no list of all pages is made. Two fetches are equal when they will do the same from here on.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Fetch {
    target: Root,
    /// The root page, once the top is known.
    top: Option<Named>,
    draft: Draft,
    desk: Desk,
    asked: BTreeSet<Place>,
}

/// How far a [`Fetch`] has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Progress {
    /// The parts that were given and taken, for all roots that the fetch was for.
    pub parts_fetched: u64,
    /// Their bytes.
    pub bytes_fetched: u64,
    /// The parts that are known to be missing. Below each missing page there may be more.
    pub parts_missing: u64,
    /// The keys in pages that are complete, fetched or not.
    pub keys: u64,
    /// The bytes of these keys and their values.
    pub bytes: u64,
    /// Those of them that were there already: in the own state, or fetched for an earlier root.
    pub bytes_reused: u64,
    /// The keys of the whole state; 0 until its top is known.
    pub keys_total: u64,
    /// The bytes of all keys and values of the whole state; 0 until its top is known.
    pub bytes_total: u64,
}

impl Fetch {
    /// Begins to fetch the state with this root, whose pages are as chosen. Of `own` everything is used that is the same there: it
    /// may be any state, and is the more useful the more it shares with the wanted one. Ask for its root before, in another thread
    /// if it is large; what is not hashed yet is hashed here when it is looked at.
    #[must_use]
    pub fn new(target: Root, options: PageOptions, own: Snapshot) -> Self {
        Self::with(target, Known::new(own, options))
    }

    fn with(target: Root, known: Known) -> Self {
        let desk = Desk { known, work: Work::beginning_with(Place::top()) };
        Self { target, top: None, draft: Draft::Missing, desk, asked: BTreeSet::new() }
    }

    /// The root of the state that is fetched.
    #[must_use]
    pub fn target(&self) -> Root {
        self.target
    }

    /// The next place to ask for. Each is named once, unless [`Fetch::ask_again`] is told otherwise; `None` when nothing is known to
    /// be missing that was not asked for. Then what was asked for may name more.
    ///
    /// A page comes before those beside it and the pages below it before these, so that little is known and yet missing at any time.
    #[expect(clippy::should_implement_trait, reason = "what is given in between decides what comes next")]
    pub fn next(&mut self) -> Option<Place> {
        loop {
            let place = self.desk.work.pop()?;
            if self.is_missing(&place) && self.asked.insert(place.clone()) {
                return Some(place);
            }
        }
    }

    /// The places that were asked for and not given yet, in order.
    pub fn asked(&self) -> impl Iterator<Item = &Place> {
        self.asked.iter()
    }

    /// Has a place named by [`Fetch::next`] once more, and soon: what was asked for was lost, or refused.
    pub fn ask_again(&mut self, place: &Place) {
        if let Some(place) = self.asked.take(place) {
            self.desk.work.push(place);
        }
    }

    /// Has all places named once more that were asked for and not given yet.
    pub fn ask_all_again(&mut self) {
        std::mem::take(&mut self.asked).into_iter().rev().for_each(|place| self.desk.work.push(place));
    }

    fn is_missing(&self, place: &Place) -> bool {
        match &place.0 {
            Kind::Top => self.top.is_none(),
            Kind::Page(path) => self.top.is_some() && self.draft.lacks_page(path),
            Kind::Piece { leaf, field, piece } => self.draft.lacks_piece(leaf, *field, *piece),
        }
    }

    /// Takes the part of the state with the fetch's root that lies at `place`. Returns whether it was missing.
    ///
    /// # Errors
    /// When it is not what lies there. Nothing has changed then; see [`BadPart`] for whether it helps to ask somebody else.
    pub fn give(&mut self, place: &Place, part: Bytes) -> Result<bool, BadPart> {
        let (bytes, undo) = (part.len() as u64, self.desk.work.mark());
        let given = self.take(place, part);
        match given {
            Ok(true) => {
                self.asked.remove(place);
                self.desk.work.count_fetched(bytes);
            }
            Ok(false) => {}
            Err(_) => self.desk.work.undo(undo),
        }
        given
    }

    fn take(&mut self, place: &Place, part: Bytes) -> Result<bool, BadPart> {
        let (path, part) = match &place.0 {
            Kind::Top => return self.take_top(&part),
            Kind::Page(path) => (path, Part::Page(part)),
            Kind::Piece { leaf, field, piece } => (leaf, Part::Piece { field: *field, piece: *piece, bytes: part }),
        };
        let Some(top) = self.top else { return Ok(false) };
        self.draft.give(&Site::root(top), (path, path), part, &mut self.desk)
    }

    fn take_top(&mut self, part: &Bytes) -> Result<bool, BadPart> {
        if self.top.is_some() {
            return Ok(false);
        }
        let top = decoding::top(part, self.target, &self.desk.known.options)?;
        self.desk.work.set_totals(top.keys, top.bytes);
        self.draft = Draft::of(&Site::root(top), &[], &mut self.desk)?;
        self.top = Some(top);
        Ok(true)
    }

    /// How far it has come.
    #[must_use]
    pub fn progress(&self) -> Progress {
        self.desk.work.progress()
    }

    /// The state with the wanted root, once nothing of it is missing: the same in everything as the one it was fetched from.
    #[must_use]
    pub fn state(&self) -> Option<State> {
        let Draft::Whole(root) = &self.draft else { return None };
        let Named { keys, bytes, .. } = self.top?;
        Some(State { root: root.0.clone(), keys, bytes, options: self.desk.known.options })
    }

    /// Fetches another state instead, and uses all that was fetched so far: the wanted one is no longer to be had.
    #[must_use]
    pub fn retarget(mut self, target: Root) -> Self {
        if target == self.target {
            return self;
        }
        if let Some(top) = self.top {
            self.draft.keep_in(top.hash, &mut self.desk.known);
        }
        let mut fetch = Self::with(target, self.desk.known);
        fetch.desk.work.carry_on(&self.desk.work);
        fetch
    }
}
