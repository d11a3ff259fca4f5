//! Parts whose hashes are right, of states that no operations make: a root may come from anybody.

mod common;

use std::collections::BTreeMap;

use bytes::Bytes;
use proptest::prelude::*;
use viewstamped_state::{BadPart, Fetch, LoadError, Place, Root, STRUCTURE_VERSION, State};

use common::{carry_out, small_pages, step};

/// Parts by their hashes, with a page whose parts they are.
#[derive(Clone, Debug, Default)]
struct Forged {
    parts: BTreeMap<[u8; 32], Bytes>,
    page: Named,
}

/// What a page says of one below it.
#[derive(Clone, Copy, Debug, Default)]
struct Named {
    hash: [u8; 32],
    keys: u64,
    bytes: u64,
}

impl Forged {
    fn with(mut self, part: impl Into<Bytes>) -> Self {
        let part = part.into();
        self.parts.insert(hash(&part), part);
        self
    }

    /// Says of the page that it has other numbers of keys and bytes below it.
    fn naming(mut self, keys: u64, bytes: u64) -> Self {
        (self.page.keys, self.page.bytes) = (keys, bytes);
        self
    }

    /// The parts with a top of these numbers, and the root.
    fn topped(&self, begin: &[u8], numbers: [u64; 2]) -> (Root, Self) {
        let mut top = begin.to_vec();
        for number in numbers.into_iter().chain([self.page.keys, self.page.bytes]) {
            top.extend_from_slice(&number.to_le_bytes());
        }
        top.extend_from_slice(&self.page.hash);
        (Root(hash(&top)), self.clone().with(top))
    }
}

fn hash(bytes: &[u8]) -> [u8; 32] {
    blake3::hash(bytes).into()
}

/// What a page says of a field in it, be it too long or not.
fn inline(bytes: &[u8]) -> Vec<u8> {
    [&u16::try_from(bytes.len()).expect("it is short").to_le_bytes(), bytes].concat()
}

/// What a page says of a field outside of it, be it long enough or not.
fn outside(bytes: &[u8]) -> Vec<u8> {
    named(bytes.len() as u64, bytes)
}

fn named(length: u64, bytes: &[u8]) -> Vec<u8> {
    [&u16::MAX.to_le_bytes()[..], &length.to_le_bytes(), &hash(bytes)].concat()
}

/// A page that says to have so many entries, and has these.
fn leaf_of(count: u32, entries: &[[Vec<u8>; 2]], payload_bytes: u64) -> Forged {
    let encoding = [&[0][..], &count.to_le_bytes(), &entries.as_flattened().concat()].concat();
    let page = Named { hash: hash(&encoding), keys: count.into(), bytes: payload_bytes };
    Forged { page, ..Forged::default() }.with(encoding)
}

/// A page with these keys, and nothing as their values.
fn leaf(keys: &[&[u8]]) -> Forged {
    let entries: Vec<[Vec<u8>; 2]> = keys.iter().map(|key| [inline(key), inline(b"")]).collect();
    leaf_of(keys.len() as u32, &entries, keys.iter().map(|key| key.len() as u64).sum())
}

fn interior(height: u8, children: &[Forged], separators: &[&[u8]]) -> Forged {
    let mut encoding = [&[height][..], &(children.len() as u32).to_le_bytes()].concat();
    let (mut parts, mut page) = (BTreeMap::new(), Named::default());
    for Forged { parts: below, page: child } in children {
        encoding.extend_from_slice(&child.hash);
        encoding.extend_from_slice(&[child.keys.to_le_bytes(), child.bytes.to_le_bytes()].concat());
        parts.extend(below.clone());
        (page.keys, page.bytes) = (page.keys.wrapping_add(child.keys), page.bytes.wrapping_add(child.bytes));
    }
    for separator in separators {
        encoding.extend_from_slice(&(separator.len() as u32).to_le_bytes());
        encoding.extend_from_slice(separator);
    }
    Forged { parts, page: Named { hash: hash(&encoding), ..page } }.with(encoding)
}

/// Gives whatever is asked for, and returns the state, or why a part was refused.
fn fetched(root: Root, forged: &Forged, own: &State) -> Result<State, BadPart> {
    let mut fetch = Fetch::new(root, *own.options(), own.snapshot());
    while let Some(place) = fetch.next() {
        let given = forged.parts.values().map(|part| fetch.give(&place, part.clone()));
        let given = given.into_iter().find(|given| *given != Err(BadPart::WrongHash));
        assert!(given.unwrap_or_else(|| panic!("{place} is there"))?);
    }
    Ok(fetch.state().expect("nothing is missing"))
}

fn loaded(root: Root, forged: &Forged) -> Result<State, BadPart> {
    let read = |hash: &[u8; 32]| forged.parts.get(hash).cloned().ok_or("it is there");
    State::load(root, *small_pages().options(), read).map_err(|error| match error {
        LoadError::Bad { why, .. } => why,
        LoadError::Read(what) => panic!("{what}"),
    })
}

const BEGIN: &[u8] = b"viewstamped state";
const NUMBERS: [u64; 2] = [STRUCTURE_VERSION, 512];

#[track_caller]
fn assert_refused(what: &str, forged: &Forged) {
    let (root, forged) = forged.topped(BEGIN, NUMBERS);
    let refused = |given: Result<State, BadPart>| match given {
        Err(BadPart::Malformed { what }) => what,
        // The state itself might not even be shown.
        other => panic!("it should be refused as malformed, not {:?}", other.map(drop)),
    };
    assert_eq!(refused(fetched(root, &forged, &small_pages())), what);
    assert_eq!(refused(loaded(root, &forged)), what);
}

#[track_caller]
fn assert_taken(forged: &Forged) -> State {
    let (root, forged) = forged.topped(BEGIN, NUMBERS);
    let state = fetched(root, &forged, &small_pages()).expect("nothing is wrong with it");
    assert_eq!(loaded(root, &forged).as_ref(), Ok(&state));
    assert_eq!(state.root(), root);
    state
}

#[test]
fn the_forger_could_make_real_states_too() {
    let mut real = small_pages();
    let names: Vec<[u8; 1]> = (b'a'..=b'z').map(|letter| [letter]).collect();
    names.iter().for_each(|name| _ = real.put(name, b""));
    assert_taken(&leaf(&[]));
    let forged = leaf(&names.iter().map(|name| &name[..]).collect::<Vec<_>>());
    assert_eq!(assert_taken(&forged).root(), real.root());
    assert_taken(&interior(1, &[leaf(&[b"a", b"b"]), leaf(&[b"c"])], &[b"c"]));
    let long = vec![b'k'; 40];
    assert_taken(&leaf_of(1, &[[outside(&long), inline(b"")]], 40).with(long));
}

#[test]
fn a_top_of_something_else_is_refused() {
    let empty = leaf(&[]);
    let refused = |begin, numbers| {
        let (root, forged) = empty.topped(begin, numbers);
        let both = (fetched(root, &forged, &small_pages()), loaded(root, &forged));
        assert_eq!(both.0, both.1);
        both.0.expect_err("it should be refused")
    };
    assert_eq!(refused(BEGIN, [7, 512]), BadPart::OtherVersion { version: 7 });
    assert_eq!(refused(BEGIN, [STRUCTURE_VERSION, 600]), BadPart::OtherPageBytes { page_bytes: 600 });
    let what = "the top begins with something else";
    assert_eq!(refused(b"viewstamped stale", NUMBERS), BadPart::Malformed { what });
    let root = Root(hash(&[]));
    let nothing = Forged::default().with(Vec::new());
    assert_eq!(loaded(root, &nothing), Err(BadPart::Malformed { what: "a part ends too early" }));
}

#[test]
fn entries_that_no_page_has_are_refused() {
    assert_refused("the keys of a page do not ascend", &leaf(&[b"b", b"a"]));
    assert_refused("the keys of a page do not ascend", &leaf(&[b"a", b"a"]));
    let [short, long] = [vec![1; 32], vec![1; 33]];
    let too_long = "a field that lies in its page is too long for it";
    assert_refused(too_long, &leaf(&[&long]));
    assert_refused(too_long, &leaf_of(1, &[[inline(b""), inline(&[0; 129])]], 129));
    let too_short = "a field that lies outside of its page is short enough for it";
    assert_refused(too_short, &leaf_of(1, &[[outside(&short), inline(b"")]], 32).with(short));
    let value = vec![0; 128];
    assert_refused(too_short, &leaf_of(1, &[[inline(b""), outside(&value)]], 128).with(value));
    let huge = leaf_of(1, &[[inline(b""), named(1 << 63, b"")]], 1 << 63);
    assert_refused("a field is longer than memory can be", &huge);
    let entries = [0, 1, 2, 3].map(|key| [inline(&[key]), inline(&[0; 120])]);
    assert_refused("a page has more than its bytes", &leaf_of(4, &entries, 4 * 121));
    let entries: Vec<[Vec<u8>; 2]> = (0..60).map(|key| [inline(&[key]), inline(b"")]).collect();
    assert_refused("a page has more than its bytes", &leaf_of(60, &entries, 60));
}

#[test]
fn long_keys_in_the_wrong_order_are_refused_once_they_are_there() {
    let keys = [[b'a'; 40], [b'b'; 40]];
    let parts = |mut leaf: Forged| {
        for key in keys {
            leaf = leaf.with(key.to_vec());
        }
        leaf
    };
    let entries = keys.map(|key| [outside(&key), inline(b"")]);
    assert_taken(&parts(leaf_of(2, &entries, 80)));
    let [lower, upper] = entries;
    let swapped = [upper, lower];
    assert_refused("the keys of a page do not ascend", &parts(leaf_of(2, &swapped, 80)));
    let below = interior(1, &[parts(leaf_of(1, &swapped[..1], 40)), leaf(&[b"c"])], &[b"b"]);
    assert_refused("a key lies in a page where it is not looked for", &below);
}

#[test]
fn parts_that_end_elsewhere_are_refused() {
    let entry = || [inline(b"a"), inline(b"")];
    assert_refused("a part ends too early", &leaf_of(2, &[entry()], 1));
    assert_refused("a part ends too early", &leaf_of(u32::MAX, &[entry()], 1));
    assert_refused("a part goes on behind its end", &leaf_of(0, &[entry()], 0));
    let children = [leaf(&[b"a"]), leaf(&[b"b"])];
    assert_refused("a part ends too early", &interior(1, &children, &[]));
    assert_refused("a part goes on behind its end", &interior(1, &children, &[b"b", b"c"]));
}

#[test]
fn trees_that_no_operations_make_are_refused() {
    let [low, high] = [leaf(&[b"a", b"b"]), leaf(&[b"c"])];
    let pair = |low: &Forged, high: &Forged| interior(1, &[low.clone(), high.clone()], &[b"c"]);
    assert_refused("a page has too many children, or none", &interior(1, &[], &[]));
    assert_refused("the root page has no choice", &interior(1, std::slice::from_ref(&low), &[]));
    assert_refused("a page is empty", &pair(&leaf(&[]), &high));
    assert_refused("a page is empty", &pair(&leaf(&[]).naming(0, 9), &high));
    let many: Vec<Forged> = (0..10).map(|key| leaf(&[&[key]])).collect();
    let separators: Vec<[u8; 1]> = (1..10).map(|key| [key]).collect();
    let separators: Vec<&[u8]> = separators.iter().map(|key| &key[..]).collect();
    assert_taken(&interior(1, &many[..9], &separators[..8]));
    assert_refused("a page has too many children, or none", &interior(1, &many, &separators));

    let levels = "the ways down to the entries differ in length";
    assert_refused(levels, &interior(2, &[low.clone(), high.clone()], &[b"c"]));
    assert_refused(levels, &interior(2, &[pair(&low, &high), leaf(&[b"d"])], &[b"d"]));
    assert_refused("a page lies higher than trees are", &interior(65, &[low, high], &[b"c"]));
}

#[test]
fn pages_that_lie_about_those_below_are_refused() {
    let [low, high] = [leaf(&[b"a", b"b"]), leaf(&[b"c"])];
    let pair = |low: &Forged, high: &Forged| interior(1, &[low.clone(), high.clone()], &[b"c"]);
    let totals = "a page has other totals than are named above it";
    assert_refused(totals, &leaf(&[b"a"]).naming(2, 1));
    assert_refused(totals, &leaf(&[b"a"]).naming(1, 2));
    assert_refused(totals, &pair(&low, &high).naming(3, 4));
    assert_refused(totals, &pair(&low.clone().naming(3, 2), &high));
    assert_refused(totals, &pair(&low.clone().naming(2, 9), &high));
    let overflowing = pair(&low.clone().naming(u64::MAX, 2), &high);
    assert_refused("a page names more bytes or keys than can be counted", &overflowing);

    let elsewhere = "a key lies in a page where it is not looked for";
    assert_refused(elsewhere, &interior(1, &[low.clone(), high.clone()], &[b"b"]));
    assert_refused(elsewhere, &interior(1, &[low.clone(), high.clone()], &[b"cc"]));
    let order = "what separates pages does not ascend";
    let three = [low.clone(), high.clone(), leaf(&[b"d"])];
    assert_refused(order, &interior(1, &three, &[b"d", b"c"]));
    assert_refused(order, &interior(1, &[low.clone(), high.clone()], &[b""]));
    let upper = interior(1, &[high, leaf(&[b"d"])], &[b"d"]);
    let lower = interior(1, &[low, leaf(&[b"bb"])], &[b"bb"]);
    assert_taken(&interior(2, &[lower.clone(), upper.clone()], &[b"c"]));
    assert_refused(order, &interior(2, &[lower.clone(), upper.clone()], &[b"bb"]));
    assert_refused(order, &interior(2, &[lower, upper], &[b"d"]));
}

#[test]
fn a_page_of_ones_own_is_not_used_where_it_does_not_belong() {
    let mut own = small_pages();
    for key in [b"a", b"b"] {
        own.put(key, b"");
    }
    let (low, high) = (leaf(&[b"a", b"b"]), leaf(&[b"c"]));
    let refused = |low: Forged, separator: &[u8]| {
        let (root, forged) = interior(1, &[low, high.clone()], &[separator]).topped(BEGIN, NUMBERS);
        fetched(root, &forged, &own)
    };
    assert!(refused(low.clone(), b"c").is_ok(), "the page of one's own is used");
    let what = "a page differs from what the page above says of it";
    assert_eq!(refused(low.clone().naming(1, 2), b"c"), Err(BadPart::Malformed { what }));
    let what = "a key lies in a page where it is not looked for";
    assert_eq!(refused(low, b"b"), Err(BadPart::Malformed { what }));
}

/// A real state's parts, with one page changed, and all hashes above it made right again.
fn changed(state: &State, page: prop::sample::Index, change: impl Fn(&mut Vec<u8>)) -> (Root, Forged) {
    let (pages, mut forged) = (state.pages().count(), Forged::default());
    let mut new_hashes: BTreeMap<[u8; 32], [u8; 32]> = BTreeMap::new();
    let replace = |encoding: &mut [u8], new_hashes: &BTreeMap<[u8; 32], [u8; 32]>| {
        for at in 0..encoding.len().saturating_sub(31) {
            if let Some(new) = encoding[at..].first_chunk::<32>().and_then(|old| new_hashes.get(old)) {
                encoding[at..at + 32].copy_from_slice(new);
            }
        }
    };
    for (at, old) in state.pages().enumerate() {
        let mut encoding = old.encoding();
        replace(&mut encoding, &new_hashes);
        if at == page.index(pages) {
            change(&mut encoding);
        }
        new_hashes.insert(old.hash(), hash(&encoding));
        forged = forged.with(encoding);
        for field in old.fields() {
            forged = forged.with(field.bytes.clone());
        }
    }
    let mut top = state.part(&Place::top()).expect("every state has a top").to_vec();
    replace(&mut top, &new_hashes);
    (Root(hash(&top)), forged.with(top))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn what_is_not_refused_can_be_worked_with(
        steps in prop::collection::vec(step(), 10..80),
        page: prop::sample::Index,
        changes in prop::collection::vec((any::<prop::sample::Index>(), prop_oneof![Just(1u8), Just(255), any::<u8>()]), 0..3),
        is_at_front: bool,
        later in prop::collection::vec(step(), 0..80),
    ) {
        let mut state = small_pages();
        steps.iter().for_each(|step| carry_out(&mut state, step));
        let (root, forged) = changed(&state, page, |encoding| {
            let room = if is_at_front { encoding.len().min(12) } else { encoding.len() };
            for (at, added) in &changes {
                let at = at.index(room);
                encoding[at] = encoding[at].wrapping_add(*added);
            }
        });
        // Fields that were changed are named by hashes that nobody has.
        let read = |hash: &[u8; 32]| forged.parts.get(hash).cloned().ok_or(());
        let Ok(mut taken) = State::load(root, *state.options(), read) else { return Ok(()) };
        prop_assert_eq!(fetched(root, &forged, &small_pages()).map(|state| state.root()), Ok(root));
        prop_assert!(taken.pages().all(|page| hash(&page.encoding()) == page.hash()));
        for step in &later {
            carry_out(&mut taken, step);
        }
        let keys = taken.range(..).map(|(key, _)| key);
        prop_assert_eq!(keys.len(), taken.len());
        prop_assert!(keys.is_sorted_by(|lower, upper| lower < upper));
        prop_assert!(taken.range(..).enumerate().all(|(rank, (key, value))| taken.get(key) == Some(value) && taken.rank(key) == rank));
    }
}
