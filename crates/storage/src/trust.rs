//! How much of a directory counts at start (the second half of the boot decision, 4.8).
//!
//! [`decide`](crate::decide) has found out who the replica is. If its directory certainly holds all that it ever said, it goes on
//! where it was, as one that was slow for a while. In any doubt it is *recovering*: of the disk it takes only what is true whatever
//! else was lost, its peers tell it the rest, and it is a new life, to which nothing that the old one said is held (C1, C12).

use viewstamped_protocol::{CheckpointId, Durability};

use crate::clean::{CleanMarker, FoundMarker};
use crate::identity_file::IdentityFile;
use crate::journal::{Doubt, Owner, Position, Verdict};

/// What was found beside the identity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remains {
    /// The clean marker, as it was before it was erased.
    pub marker: FoundMarker,
    /// The newest checkpoint that can be read.
    pub checkpoint: FoundCheckpoint,
    /// What the journal is worth, read from where that checkpoint says.
    pub journal: Verdict,
    /// Where the journal ends.
    pub journal_end: Position,
}

/// What was found of the checkpoints.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FoundCheckpoint {
    /// The newest one that can be read; op-number 0: none.
    pub newest: CheckpointId,
    /// Whether there was certainly no newer one.
    pub is_certain: bool,
}

/// How much of the disk counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trust {
    /// Nothing, and nothing was forgotten: the replica has never taken part. It waits until all members are as new as it is (C6).
    NeverTookPart,
    /// Everything: it restarts without recovery, in the same life.
    Everything,
    /// The checkpoint, and of the log what the journal says to be committed (T8): it recovers, in a new life.
    Prefix(Lack),
}

/// Why a replica recovers.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Lack {
    /// It was killed, and its disk may be behind what it said.
    #[error("it was not shut down cleanly, and nothing waits for the disk in the `{0}` mode")]
    Unclean(Durability),
    /// The journal is in doubt.
    #[error("its journal is in doubt, {0}")]
    Journal(Doubt),
    /// A newer checkpoint may have been lost.
    #[error("its page file is damaged")]
    Pages,
    /// The clean marker cannot be read.
    #[error("its clean marker is damaged")]
    DamagedMarker,
    /// The clean marker is about something else than what is there.
    #[error(
        "its clean marker does not fit the {0}: something was lost since the shutdown, or put back from another time"
    )]
    Marker(&'static str),
}

/// Decides how much counts.
#[must_use]
pub fn trust(identity: &IdentityFile, remains: &Remains) -> Trust {
    if identity.identity.is_virgin() {
        return Trust::NeverTookPart;
    }
    match lack(identity, remains) {
        Some(lack) => Trust::Prefix(lack),
        None => Trust::Everything,
    }
}

fn lack(identity: &IdentityFile, remains: &Remains) -> Option<Lack> {
    // A marker that is there is a promise of what else is there. One that is broken is not outweighed by a journal that looks
    // whole: it may have lost its end.
    match &remains.marker {
        FoundMarker::Absent => {}
        FoundMarker::Damaged(_) => return Some(Lack::DamagedMarker),
        FoundMarker::Valid(marker) => {
            if let Some(what) = misfit(marker, identity, remains) {
                return Some(Lack::Marker(what));
            }
        }
    }
    if let Verdict::Doubtful(doubt) = &remains.journal {
        return Some(Lack::Journal(doubt.clone()));
    }
    if !remains.checkpoint.is_certain {
        return Some(Lack::Pages);
    }
    let is_clean = matches!(remains.marker, FoundMarker::Valid(_));
    let waits_for_disk = identity.durability == Durability::Synchronous;
    (!is_clean && !waits_for_disk).then_some(Lack::Unclean(identity.durability))
}

/// What of the directory the marker does not fit.
fn misfit(marker: &CleanMarker, identity: &IdentityFile, remains: &Remains) -> Option<&'static str> {
    let CleanMarker { owner, incarnation, journal_end, checkpoint } = *marker;
    let misfits = [
        (owner != Owner { cluster: identity.cluster, node: identity.node }, "replica"),
        (incarnation != identity.identity.incarnation, "life of the replica"),
        (journal_end != remains.journal_end, "end of the journal"),
        (checkpoint != remains.checkpoint.newest, "checkpoint"),
    ];
    misfits.into_iter().find(|(is_misfit, _)| *is_misfit).map(|(_, what)| what)
}

#[cfg(test)]
mod tests {
    use viewstamped_protocol::{CheckpointRoot, ClusterId, Incarnation, NodeId, OpNumber};

    use super::*;
    use crate::frame::FileError;
    use crate::identity_file::tests::example;
    use crate::journal::Reason;

    fn identity(durability: Durability) -> IdentityFile {
        IdentityFile { durability, ..example() }
    }

    fn marker() -> CleanMarker {
        CleanMarker {
            owner: Owner { cluster: example().cluster, node: example().node },
            incarnation: example().identity.incarnation,
            ..crate::clean::tests::example()
        }
    }

    /// After a clean shutdown.
    fn clean() -> Remains {
        Remains {
            marker: FoundMarker::Valid(marker()),
            checkpoint: FoundCheckpoint { newest: marker().checkpoint, is_certain: true },
            journal: Verdict::Whole,
            journal_end: marker().journal_end,
        }
    }

    /// After a kill.
    fn killed() -> Remains {
        Remains { marker: FoundMarker::Absent, ..clean() }
    }

    fn doubt() -> Doubt {
        Doubt { at: 512, reason: Reason::Damaged }
    }

    /// C6: who has never taken part has forgotten nothing, and has nothing to go on from, whatever lies about.
    #[test]
    fn a_replica_that_never_took_part_is_new_whatever_else_is_there() {
        for durability in Durability::ALL {
            let mut identity = identity(durability);
            identity.identity.incarnation = Incarnation::ZERO;
            let doubtful = Remains { journal: Verdict::Doubtful(doubt()), ..killed() };
            for remains in [clean(), killed(), doubtful] {
                assert_eq!(trust(&identity, &remains), Trust::NeverTookPart);
            }
        }
    }

    #[test]
    fn a_clean_shutdown_needs_no_recovery_in_any_mode() {
        for durability in Durability::ALL {
            assert_eq!(trust(&identity(durability), &clean()), Trust::Everything);
        }
    }

    #[test]
    fn a_whole_journal_needs_no_recovery_in_the_synchronous_mode_alone() {
        let torn = Remains { journal: Verdict::Torn { sectors: 3, missing: 1 }, ..killed() };
        for remains in [killed(), torn] {
            assert_eq!(trust(&identity(Durability::Synchronous), &remains), Trust::Everything);
            for durability in [Durability::Replicated, Durability::Background] {
                let expected = Trust::Prefix(Lack::Unclean(durability));
                assert_eq!(trust(&identity(durability), &remains), expected);
            }
        }
    }

    /// C12: what cannot be read may have been acknowledged.
    #[test]
    fn a_journal_in_doubt_is_recovered_from_even_after_a_clean_shutdown() {
        for durability in Durability::ALL {
            for remains in [clean(), killed()] {
                let remains = Remains { journal: Verdict::Doubtful(doubt()), ..remains };
                assert_eq!(trust(&identity(durability), &remains), Trust::Prefix(Lack::Journal(doubt())));
            }
        }
    }

    #[test]
    fn a_damaged_page_file_is_recovered_from_even_when_an_older_checkpoint_is_there() {
        for durability in Durability::ALL {
            let mut remains = clean();
            remains.checkpoint.is_certain = false;
            assert_eq!(trust(&identity(durability), &remains), Trust::Prefix(Lack::Pages));
        }
    }

    /// The journal of the synchronous mode may look whole when it has lost its end; the marker knows where that was.
    #[test]
    fn a_marker_that_does_not_fit_is_doubt_and_no_shutdown() {
        let other = marker();
        let root = CheckpointRoot([0xac; 32]);
        let markers = [
            (CleanMarker { owner: Owner { cluster: ClusterId(1), ..other.owner }, ..other }, "replica"),
            (CleanMarker { owner: Owner { node: NodeId(77), ..other.owner }, ..other }, "replica"),
            (CleanMarker { incarnation: Incarnation(6), ..other }, "life of the replica"),
            (
                CleanMarker { journal_end: Position { sequence: 901, ..other.journal_end }, ..other },
                "end of the journal",
            ),
            (
                CleanMarker { journal_end: Position { sector: 5001, ..other.journal_end }, ..other },
                "end of the journal",
            ),
            (CleanMarker { checkpoint: CheckpointId { op: OpNumber(641), ..other.checkpoint }, ..other }, "checkpoint"),
            (CleanMarker { checkpoint: CheckpointId { root, ..other.checkpoint }, ..other }, "checkpoint"),
        ];
        for durability in Durability::ALL {
            for (marker, what) in markers {
                let remains = Remains { marker: FoundMarker::Valid(marker), ..clean() };
                assert_eq!(trust(&identity(durability), &remains), Trust::Prefix(Lack::Marker(what)));
            }
            let remains = Remains { marker: FoundMarker::Damaged(FileError::Checksum), ..clean() };
            assert_eq!(trust(&identity(durability), &remains), Trust::Prefix(Lack::DamagedMarker));
        }
    }

    #[test]
    fn a_directory_without_any_checkpoint_goes_on_from_its_journal() {
        let remains =
            Remains { checkpoint: FoundCheckpoint { is_certain: true, ..FoundCheckpoint::default() }, ..killed() };
        assert_eq!(trust(&identity(Durability::Synchronous), &remains), Trust::Everything);
    }

    #[test]
    fn every_lack_says_why() {
        let texts = [
            (Lack::Unclean(Durability::Background), "`background`"),
            (Lack::Journal(doubt()), "at byte 512"),
            (Lack::Marker("checkpoint"), "does not fit the checkpoint"),
        ];
        for (lack, part) in texts {
            assert!(lack.to_string().contains(part), "{lack}");
        }
    }
}
