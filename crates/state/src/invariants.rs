//! What holds of every tree, whatever was done to it.

use proptest::prelude::*;

use crate::interior::Interior;
use crate::leaf::Leaf;
use crate::page::Page;
use crate::{PageOptions, State, keys};

/// The keys that a page may hold: from the first on, and before the second.
type Bounds<'a> = (Option<&'a [u8]>, Option<&'a [u8]>);

fn is_within(key: &[u8], (from, before): Bounds<'_>) -> bool {
    from.is_none_or(|from| from <= key) && before.is_none_or(|before| key < before)
}

fn check_page(page: &Page, bounds: Bounds<'_>, options: &PageOptions) {
    match page {
        Page::Leaf(leaf) => check_leaf(leaf, bounds, options),
        Page::Interior(interior) => check_interior(interior, bounds, options),
    }
}

fn check_leaf(leaf: &Leaf, bounds: Bounds<'_>, options: &PageOptions) {
    assert!(leaf.used() <= options.page_bytes(), "a page keeps its bound");
    assert_eq!(leaf.used(), leaf.entries().map(|entry| entry.page_bytes()).sum::<usize>());
    let fields = leaf.entries().flat_map(|entry| [entry.key, entry.value]);
    let large = fields.filter(|field| matches!(field, crate::entry::Field::Large(_))).count();
    assert_eq!(leaf.large.len(), large, "every large field belongs to an entry");
    let prefix = usize::from(leaf.prefix);
    for at in 0..leaf.len() {
        let key = leaf.key(at);
        assert!(is_within(key, bounds));
        assert_eq!(leaf.slot(at).head, keys::head(&key[prefix..]));
        assert_eq!(key[..prefix], leaf.key(0)[..prefix]);
        assert!(at == 0 || leaf.key(at - 1) < key, "keys ascend");
    }
}

fn check_interior(page: &Interior, bounds: Bounds<'_>, options: &PageOptions) {
    let count = page.children.len();
    assert!(page.used() <= options.page_bytes() || count < 8, "a page with many children keeps its bound");
    assert_eq!(page.separators.len() + 1, count);
    for (at, child) in page.children.iter().enumerate() {
        assert_eq!(child.page.height() + 1, page.height);
        assert_eq!((child.keys, child.bytes), (child.page.keys(), child.page.payload_bytes()));
        let from = at.checked_sub(1).map_or(bounds.0, |at| Some(page.separators.key(at)));
        let before = if at + 1 == count { bounds.1 } else { Some(page.separators.key(at)) };
        assert!(before.is_none_or(|key| is_within(key, (from, None))), "separators ascend");
        check_page(&child.page, (from, before), options);
    }
}

fn check(state: &State) {
    assert_eq!((state.keys, state.bytes), (state.root.keys(), state.root.payload_bytes()));
    check_page(&state.root, (None, None), &state.options);
    assert!(state.root.trimmed().is_none(), "the root has a choice");
}

proptest! {
    #[test]
    fn every_page_is_in_order_whatever_was_done(
        steps in prop::collection::vec((0..200u32, 0..40usize, prop::option::of(0..300usize)), 0..600),
    ) {
        let options = PageOptions::new(PageOptions::PAGE_BYTES_MIN).expect("the smallest pages are allowed");
        let mut state = State::with_options(options);
        for (number, more, value_bytes) in steps {
            let mut key = format!("{number:08}").into_bytes();
            key.resize(8 + more / 30 * more, b'-');
            match value_bytes {
                Some(bytes) => state.put(&key, &vec![1; bytes]),
                None => state.remove(&key),
            };
        }
        check(&state);
        let keys: Vec<Vec<u8>> = state.range(..).map(|(key, _)| key.to_vec()).collect();
        for (at, key) in keys.iter().enumerate() {
            state.remove(key);
            if at % 16 == 0 {
                check(&state);
            }
        }
        check(&state);
    }
}

#[test]
fn pages_filled_in_order_are_nearly_full() {
    let [mut upwards, mut downwards] = [State::default(), State::default()];
    for number in 0..5_000u32 {
        upwards.put(&number.to_be_bytes(), &[1; 60]);
        downwards.put(&(5_000 - number).to_be_bytes(), &[1; 60]);
    }
    for state in [&upwards, &downwards] {
        check(state);
        let (leaves, used) = leaves_of(&state.root);
        let room = leaves * state.options.page_bytes();
        assert!(used * 100 / room >= 80, "{leaves} pages are full to {used} bytes of {room}");
    }
}

/// How many leaves there are, and what they count.
fn leaves_of(page: &Page) -> (usize, usize) {
    match page {
        Page::Leaf(leaf) => (1, leaf.used()),
        Page::Interior(page) => page.children.iter().map(|child| leaves_of(&child.page)).fold((0, 0), |sum, below| {
            let (leaves, used) = sum;
            (leaves + below.0, used + below.1)
        }),
    }
}
