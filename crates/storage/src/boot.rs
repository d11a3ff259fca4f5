//! The first half of the boot decision (4.8): who a replica is, from its directory and the flags. The second half is how much of the
//! directory counts, in [`trust`](mod@crate::trust).

use std::fmt;

use viewstamped_protocol::{ClusterId, Configuration, NodeId};

use crate::directory::Found;
use crate::identity_file::IdentityFile;

/// Who the flags say this replica is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// Its cluster.
    pub cluster: ClusterId,
    /// Its id.
    pub node: NodeId,
    /// Its group, or where to ask for it. Only an empty directory needs it.
    pub group: Option<Group>,
}

/// What is known of the group from outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Group {
    /// The members.
    Members(Configuration),
    /// Peer addresses of some members, who know the rest (4.3).
    Peers(Vec<String>),
}

/// How a replica starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Start {
    /// With its identity: virgin if it never took part, recovering if it did; its protocol knows the difference.
    WithIdentity(Box<IdentityFile>),
    /// On an empty directory. It has lost its memory and even the number of its incarnation, so it recovers both from its peers
    /// (C3, C15). It is never new.
    Rebuild {
        /// Its cluster.
        cluster: ClusterId,
        /// Its id.
        node: NodeId,
        /// Its group, or where to ask for it.
        group: Group,
    },
}

/// Why a replica does not start.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BootError {
    /// Nothing says who this replica is.
    #[error(
        "the directory is empty, so nothing says who this replica is. For a new cluster, run `vr format --cluster ID --replica I \
         --members \"0=HOST:PORT,1=HOST:PORT,...\" DIR` once for each replica. To bring back a replica that has lost its directory, \
         run `vr start --cluster ID --replica I --peers HOST:PORT,... DIR`; it recovers its state from its peers"
    )]
    NobodyKnows,
    /// An empty directory, and nobody to recover from.
    #[error(
        "the directory is empty, so replica {} must recover from its peers, but none are named; add `--peers HOST:PORT,...`",
        node.0
    )]
    NoPeers {
        /// The replica.
        node: NodeId,
    },
    /// The flags name a replica that is not in the member list they give.
    #[error("replica {} is not among the members {members}; correct the replica id or the member list", node.0)]
    NotAMember {
        /// The replica.
        node: NodeId,
        /// The members.
        members: String,
    },
    /// The flags and the identity file disagree.
    #[error(
        "the directory belongs to {what} {found}, but the flags say {claimed}; name the directory of {what} {claimed}, or leave the \
         flag out to start what is there"
    )]
    Conflict {
        /// What they disagree about.
        what: &'static str,
        /// What the identity file says.
        found: String,
        /// What the flags say.
        claimed: String,
    },
}

/// Decides how to start. An empty directory always means a replica that has lost its memory, never a new one (C6).
///
/// # Errors
/// When directory and flags contradict each other, or together do not say enough.
pub fn decide(found: Found, claim: Option<Claim>) -> Result<Start, BootError> {
    match (found, claim) {
        (Found::Identity(file), None) => Ok(Start::WithIdentity(file)),
        (Found::Identity(file), Some(claim)) => {
            require_agreement(&file, &claim)?;
            Ok(Start::WithIdentity(file))
        }
        (Found::Empty, None) => Err(BootError::NobodyKnows),
        (Found::Empty, Some(claim)) => rebuild(claim),
    }
}

fn rebuild(Claim { cluster, node, group }: Claim) -> Result<Start, BootError> {
    match group {
        None => Err(BootError::NoPeers { node }),
        Some(Group::Peers(peers)) if peers.is_empty() => Err(BootError::NoPeers { node }),
        Some(Group::Members(configuration)) if !configuration.contains(node) => {
            Err(BootError::NotAMember { node, members: Members(&configuration).to_string() })
        }
        Some(group) => Ok(Start::Rebuild { cluster, node, group }),
    }
}

fn require_agreement(file: &IdentityFile, claim: &Claim) -> Result<(), BootError> {
    let conflict = |what, found: String, claimed: String| Err(BootError::Conflict { what, found, claimed });
    if file.cluster != claim.cluster {
        return conflict("cluster", file.cluster.to_string(), claim.cluster.to_string());
    }
    if file.node != claim.node {
        return conflict("replica", file.node.0.to_string(), claim.node.0.to_string());
    }
    match &claim.group {
        Some(Group::Members(configuration)) if configuration.members() != file.configuration.members() => {
            let (found, claimed) = (Members(&file.configuration), Members(configuration));
            conflict("the group", found.to_string(), claimed.to_string())
        }
        _ => Ok(()),
    }
}

/// Prints members as the flags take them.
struct Members<'a>(&'a Configuration);

impl fmt::Display for Members<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, member) in self.0.members().iter().enumerate() {
            let comma = if place == 0 { "" } else { "," };
            write!(f, "{comma}{}={}", member.id.0, member.address)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use viewstamped_protocol::{EpochNumber, Member, Role};

    use super::*;
    use crate::identity_file::tests::example;

    fn claim(group: Option<Group>) -> Claim {
        Claim { cluster: example().cluster, node: example().node, group }
    }

    fn found() -> Found {
        Found::Identity(Box::new(example()))
    }

    fn peers() -> Option<Group> {
        Some(Group::Peers(vec!["10.0.0.1:2380".into()]))
    }

    #[test]
    fn an_identity_starts_as_what_it_is_whatever_peers_are_named() {
        let expected = Ok(Start::WithIdentity(Box::new(example())));
        let members = Some(Group::Members(example().configuration));
        for claim in [None, Some(claim(None)), Some(claim(peers())), Some(claim(members))] {
            assert_eq!(decide(found(), claim), expected);
        }
    }

    #[test]
    fn flags_that_contradict_the_identity_are_refused_naming_both() {
        let one = Member { id: NodeId(2), role: Role::Active, address: "h:1".into() };
        let other_group = Configuration::new(EpochNumber::ZERO, vec![one]).unwrap();
        let conflicts = [
            (Claim { cluster: ClusterId(0xabc), ..claim(None) }, "123456789abcdef", "abc"),
            (Claim { node: NodeId(7), ..claim(None) }, "replica 2", "flags say 7"),
            (claim(Some(Group::Members(other_group))), "0=10.0.0.0:2380,1=10.0.0.1:2380,2=10.0.0.2:2380", "2=h:1"),
        ];
        for (claim, found_text, claimed_text) in conflicts {
            let text = decide(found(), Some(claim)).unwrap_err().to_string();
            assert!(text.contains(found_text) && text.contains(claimed_text), "{text}");
        }
    }

    /// C6: an empty directory is one that has lost its memory, never a new one.
    #[test]
    fn an_empty_directory_is_rebuilt_from_its_peers_and_never_new() {
        let Claim { cluster, node, .. } = claim(None);
        for group in [peers().unwrap(), Group::Members(example().configuration)] {
            let start = decide(Found::Empty, Some(claim(Some(group.clone()))));
            assert_eq!(start, Ok(Start::Rebuild { cluster, node, group }));
        }
    }

    #[test]
    fn an_empty_directory_without_flags_explains_both_ways_on() {
        let text = decide(Found::Empty, None).unwrap_err().to_string();
        assert!(text.contains("vr format --cluster") && text.contains("vr start --cluster"), "{text}");
    }

    #[test]
    fn an_empty_directory_without_peers_asks_for_them() {
        let no_peers = Err(BootError::NoPeers { node: NodeId(2) });
        assert_eq!(decide(Found::Empty, Some(claim(None))), no_peers);
        assert_eq!(decide(Found::Empty, Some(claim(Some(Group::Peers(vec![]))))), no_peers);
        let stranger = Claim { node: NodeId(9), ..claim(Some(Group::Members(example().configuration))) };
        assert!(matches!(decide(Found::Empty, Some(stranger)), Err(BootError::NotAMember { .. })));
    }
}
