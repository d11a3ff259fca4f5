//! How each state was reached first.

use crate::search::action::Action;
use crate::search::table::{Table, mix};

/// What was done to one replica at once, as a number: an action, or a sequence of them.
const SEQUENCE: u32 = 1 << 26;

/// The place is in the bits above.
const PLACE_SHIFT: u32 = 27;

/// From which state, and by what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Link {
    from: u32,
    what: u32,
}

/// A tree of states.
#[derive(Debug, Default)]
pub(super) struct Paths {
    links: Vec<Link>,
    sequences: Vec<Vec<Action>>,
    by_content: Option<Table<u32>>,
}

impl Paths {
    /// How many states there are.
    pub(super) fn len(&self) -> usize {
        self.links.len()
    }

    /// The bytes it takes.
    pub(super) fn bytes(&self) -> usize {
        self.links.capacity() * size_of::<Link>()
    }

    /// Adds a state, and gives it the next number.
    pub(super) fn push(&mut self, link: Link) {
        self.links.push(link);
    }

    /// The way from the state `from` by these actions at `place`.
    pub(super) fn link(&mut self, from: usize, place: usize, actions: &[Action]) -> Link {
        let place = u32::try_from(place).expect("a member");
        let what = match actions {
            [action] => action.code(),
            actions => SEQUENCE | self.sequence(actions),
        };
        Link { from: u32::try_from(from).expect("fewer than 2^32 states"), what: place << PLACE_SHIFT | what }
    }

    fn sequence(&mut self, actions: &[Action]) -> u32 {
        let key = actions.iter().fold(0, |key, action| mix(key ^ u64::from(action.code())));
        let known = self.by_content.get_or_insert_with(Table::new);
        if let Some(number) = known.get(key) {
            return number;
        }
        let number = u32::try_from(self.sequences.len()).expect("fewer sequences than states");
        assert!(number < SEQUENCE, "the bounds lead to more than 2^26 different sequences; lower them");
        known.insert(key, number);
        self.sequences.push(actions.to_vec());
        number
    }

    /// Where, and what was done.
    pub(super) fn taken(&self, link: Link) -> (usize, Vec<Action>) {
        let place = (link.what >> PLACE_SHIFT) as usize;
        let what = link.what & ((1 << PLACE_SHIFT) - 1);
        let actions = match what & SEQUENCE {
            0 => vec![Action::of_code(what)],
            _ => self.sequences[(what & !SEQUENCE) as usize].clone(),
        };
        (place, actions)
    }

    /// Everything that was done from the beginning to the state `at`.
    pub(super) fn to(&self, mut at: usize) -> Vec<(usize, Vec<Action>)> {
        let mut taken = Vec::new();
        while at != 0 {
            taken.push(self.taken(self.links[at]));
            at = self.links[at].from as usize;
        }
        taken.reverse();
        taken
    }
}
