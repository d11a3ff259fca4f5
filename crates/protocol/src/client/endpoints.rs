//! Which replica answers at which address, and which of them to ask: views and redirects are hints, never facts.

use std::time::Duration;

use super::Endpoint;
use super::error::Unavailable;
use crate::message::{Header, NotServingReason};
use crate::numbers::{Ballot, ClusterId, NodeId, Time};

/// The most addresses of a client: a set of them is one machine word, and a group has at most half as many members.
pub const ENDPOINTS_MAX: usize = 64;

/// How far apart new views must be to send everything again at once. Views follow each other by timeouts of hundreds of
/// milliseconds; a replica that counts its view up with every answer must not make the client spin.
const VIEW_GAP: Duration = Duration::from_millis(10);

/// What an endpoint last said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Word {
    Serving,
    NotServing(NotServingReason),
    OtherCluster(ClusterId),
}

#[derive(Clone, Copy, Debug, Default)]
struct Known {
    node: Option<NodeId>,
    word: Option<(Word, Time)>,
}

/// The endpoints a request was sent to since it was last decided to begin anew.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Asked {
    generation: u64,
    endpoints: u64,
}

/// Why no try can succeed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hopeless {
    QuorumLost,
    OtherCluster(ClusterId),
}

/// What the client knows about its addresses.
#[derive(Clone, Debug)]
pub(super) struct Endpoints {
    known: Vec<Known>,
    /// Where requests go first.
    target: Endpoint,
    /// Whether the target has itself answered as the primary since it became the target or was doubted.
    confirmed: bool,
    /// The newest view heard of. Goes back only when a primary answers while the target is in doubt.
    ballot: Ballot,
    /// The primary of that view, when somebody named it.
    primary: Option<NodeId>,
    /// Counts new views: what was asked in an earlier one may be asked again.
    generation: u64,
    risen_at: Option<Time>,
    /// How old a word may be and still count.
    recent: Duration,
}

impl Endpoints {
    pub(super) fn new(count: usize, first: Endpoint, recent: Duration) -> Self {
        assert!((1..=ENDPOINTS_MAX).contains(&count), "a client has 1 to {ENDPOINTS_MAX} addresses, not {count}");
        assert!(first.0 < count);
        Self {
            known: vec![Known::default(); count],
            target: first,
            confirmed: false,
            ballot: Ballot::default(),
            primary: None,
            generation: 0,
            risen_at: None,
            recent,
        }
    }

    pub(super) fn target(&self) -> Endpoint {
        self.target
    }

    pub(super) fn all(&self) -> impl Iterator<Item = Endpoint> + use<> {
        (0..self.known.len()).map(Endpoint)
    }

    /// The newest epoch and view heard of.
    pub(super) fn ballot(&self) -> Ballot {
        self.ballot
    }

    /// The target has not answered: the next primary that does is believed, whatever its view.
    pub(super) fn doubt(&mut self) {
        self.confirmed = false;
    }

    /// Nobody can be reached at `endpoint` for now. Returns whether it was the target; then the next one becomes it.
    pub(super) fn on_unreachable(&mut self, endpoint: Endpoint) -> bool {
        if endpoint != self.target {
            return false;
        }
        self.confirmed = false;
        self.target = Endpoint((endpoint.0 + 1) % self.known.len());
        true
    }

    /// `from` belongs to another cluster.
    pub(super) fn on_other_cluster(&mut self, now: Time, from: Endpoint, cluster: ClusterId) {
        self.known[from.0] = Known { node: None, word: Some((Word::OtherCluster(cluster), now)) };
    }

    /// `from` serves nobody. Returns whether that puts the target in doubt.
    pub(super) fn on_not_serving(
        &mut self,
        now: Time,
        from: Endpoint,
        header: &Header,
        reason: NotServingReason,
    ) -> bool {
        self.hear(now, from, header, Word::NotServing(reason));
        self.rise(now, ballot_of(header)) || from == self.target
    }

    /// `from` answered as the primary. Returns whether outstanding requests should be sent to it that were not yet.
    pub(super) fn on_primary(&mut self, now: Time, from: Endpoint, header: &Header) -> bool {
        self.hear(now, from, header, Word::Serving);
        let ballot = ballot_of(header);
        if self.confirmed && ballot < self.ballot {
            // A late answer of an earlier primary.
            return false;
        }
        let rose = self.rise(now, ballot);
        let is_new = rose || !self.confirmed || from != self.target;
        self.ballot = ballot;
        self.primary = Some(header.from);
        self.target = from;
        self.confirmed = true;
        is_new
    }

    /// `from` answered, without a claim to be the primary.
    pub(super) fn on_answer(&mut self, now: Time, from: Endpoint, header: &Header) {
        self.hear(now, from, header, Word::Serving);
    }

    /// `from` says that `primary` leads the view of its header.
    pub(super) fn on_redirect(&mut self, now: Time, from: Endpoint, header: &Header, primary: NodeId) -> Redirected {
        self.hear(now, from, header, Word::Serving);
        if ballot_of(header) < self.ballot || primary == header.from {
            return Redirected::Nowhere;
        }
        let rose = self.rise(now, ballot_of(header));
        if self.confirmed && from != self.target {
            // The primary of this very view has spoken for itself.
            return Redirected::Nowhere;
        }
        self.primary = Some(primary);
        self.confirmed = false;
        let Some(next) = self.endpoint_of(primary).or_else(|| self.next_unknown(from)) else {
            return Redirected::Unlisted;
        };
        let is_new = rose || next != self.target;
        self.target = next;
        if is_new { Redirected::Elsewhere } else { Redirected::Nowhere }
    }

    /// Adds `endpoint` to `asked`; false when it is there already.
    pub(super) fn ask(&self, asked: &mut Asked, endpoint: Endpoint) -> bool {
        if asked.generation != self.generation {
            *asked = Asked { generation: self.generation, endpoints: 0 };
        }
        let is_new = asked.endpoints & bit(endpoint) == 0;
        asked.endpoints |= bit(endpoint);
        is_new
    }

    /// Why no try can succeed: all endpoints said so recently.
    pub(super) fn hopeless(&self, now: Time) -> Option<Hopeless> {
        unanimous((0..self.known.len()).map(|index| self.word(now, index)))
    }

    /// The same by the word of those who said anything recently, for a request that has run out of time.
    pub(super) fn hopeless_so_far(&self, now: Time) -> Option<Hopeless> {
        unanimous(self.recent_words(now).map(Some))
    }

    /// What keeps the group from answering, as far as can be seen.
    pub(super) fn obstacle(&self, now: Time) -> Unavailable {
        let mut obstacle = None;
        for word in self.recent_words(now) {
            let next = match word {
                Word::Serving => return self.obstacle_of_a_serving_group(),
                Word::NotServing(reason) => reason.into(),
                Word::OtherCluster(_) => Unavailable::NoPrimary,
            };
            obstacle = Some(match (obstacle, next) {
                (None, next) => next,
                // Those who recover wait for those who change the view, and those who start will never stop waiting.
                (Some(Unavailable::ViewChange), _) | (_, Unavailable::ViewChange) => Unavailable::ViewChange,
                (Some(Unavailable::Recovering), _) | (_, Unavailable::Recovering) => Unavailable::Recovering,
                (Some(first), _) => first,
            });
        }
        obstacle.unwrap_or(Unavailable::NoAnswer)
    }

    fn obstacle_of_a_serving_group(&self) -> Unavailable {
        match self.primary {
            Some(primary) if self.endpoint_of(primary).is_none() && self.known.iter().all(|k| k.node.is_some()) => {
                Unavailable::PrimaryUnlisted(primary)
            }
            _ => Unavailable::NoPrimary,
        }
    }

    fn hear(&mut self, now: Time, from: Endpoint, header: &Header, word: Word) {
        self.known[from.0] = Known { node: Some(header.from), word: Some((word, now)) };
    }

    /// Takes note of a newer view; returns whether it is one, and what was asked before may be asked again.
    fn rise(&mut self, now: Time, ballot: Ballot) -> bool {
        if ballot <= self.ballot {
            return false;
        }
        self.ballot = ballot;
        self.primary = None;
        self.confirmed = false;
        if self.risen_at.is_some_and(|at| now.since(at) < VIEW_GAP) {
            return false;
        }
        self.risen_at = Some(now);
        self.generation += 1;
        true
    }

    fn endpoint_of(&self, node: NodeId) -> Option<Endpoint> {
        self.known.iter().position(|known| known.node == Some(node)).map(Endpoint)
    }

    /// The first endpoint after `from`, round robin, of which it is not known who answers there.
    fn next_unknown(&self, from: Endpoint) -> Option<Endpoint> {
        let count = self.known.len();
        (1..count).map(|step| (from.0 + step) % count).find(|index| self.known[*index].node.is_none()).map(Endpoint)
    }

    fn word(&self, now: Time, index: usize) -> Option<Word> {
        self.known[index].word.filter(|(_, at)| now.since(*at) <= self.recent).map(|(word, _)| word)
    }

    fn recent_words(&self, now: Time) -> impl Iterator<Item = Word> + '_ {
        (0..self.known.len()).filter_map(move |index| self.word(now, index))
    }
}

impl Asked {
    /// What was sent to `endpoint` may be lost.
    pub(super) fn forget(&mut self, endpoint: Endpoint) {
        self.endpoints &= !bit(endpoint);
    }
}

/// What a redirect led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Redirected {
    /// Another target, or the same in a new view.
    Elsewhere,
    /// Nothing new.
    Nowhere,
    /// The primary is none of the endpoints, as far as is known.
    Unlisted,
}

/// The first verdict, when all give one.
fn unanimous(mut words: impl Iterator<Item = Option<Word>>) -> Option<Hopeless> {
    let first = hopeless_word(words.next()?)?;
    words.all(|word| hopeless_word(word).is_some()).then_some(first)
}

fn hopeless_word(word: Option<Word>) -> Option<Hopeless> {
    match word? {
        Word::NotServing(NotServingReason::QuorumLost) => Some(Hopeless::QuorumLost),
        Word::OtherCluster(cluster) => Some(Hopeless::OtherCluster(cluster)),
        Word::Serving | Word::NotServing(_) => None,
    }
}

fn ballot_of(header: &Header) -> Ballot {
    Ballot { epoch: header.epoch, view: header.view }
}

fn bit(endpoint: Endpoint) -> u64 {
    1 << endpoint.0
}
