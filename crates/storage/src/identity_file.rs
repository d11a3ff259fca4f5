//! The identity file, as bytes. The byte diagram is in docs/formats.md.

pub use viewstamped_protocol::codec::ADDRESS_BYTES_MAX;
use viewstamped_protocol::configuration::MEMBERS_MAX;
use viewstamped_protocol::message::Founder;
use viewstamped_protocol::{
    ClusterId, ClusterOptions, Configuration, Durability, EpochNumber, Identity, Incarnation, InstanceId, Member,
    NodeId, Role,
};

pub use crate::frame::FileError;
use crate::frame::{Fields, Frame};
use crate::io::{Disk, WholeFileError, whole};

/// The name of the file.
pub const IDENTITY: &str = "identity";

/// The next identity file while it is being written; ignored at start.
pub const IDENTITY_TEMPORARY: &str = "identity.tmp";

const FRAME: Frame = Frame { magic: *b"VRIDENT\n", version: 1 };

/// The largest identity file. 64 KiB: many times what the largest group needs, and little to read from a foreign file.
pub const IDENTITY_BYTES_MAX: usize = 64 << 10;

/// Everything a replica keeps on disk in the `replicated` mode (4.7).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdentityFile {
    /// The cluster it belongs to.
    pub cluster: ClusterId,
    /// Its own id: a member of `configuration`.
    pub node: NodeId,
    /// The group, as of the newest epoch this replica knows.
    pub configuration: Configuration,
    /// The options all members share.
    pub cluster_options: ClusterOptions,
    /// What a commit waits for.
    pub durability: Durability,
    /// What it must not forget.
    pub identity: Identity,
}

/// Why an identity was not saved.
#[derive(Debug, thiserror::Error)]
pub enum SaveError {
    /// It does not fit into a file. Nothing was written.
    #[error("the identity cannot be written: {0}")]
    Unwritable(FileError),
    /// It is unknown which identity a restart would find, the old or the new one: the replica must stop. The operating system may have
    /// dropped what it could not write, and a second try that succeeds proves nothing.
    #[error(transparent)]
    Disk(WholeFileError),
}

impl IdentityFile {
    /// Reads the identity of a directory, if it has one.
    ///
    /// # Errors
    /// When it cannot be read, though it is there. That it is damaged is told in the result.
    pub fn load(disk: &dyn Disk) -> Result<Option<Result<Self, FileError>>, WholeFileError> {
        Ok(whole::read(disk, IDENTITY, IDENTITY_BYTES_MAX)?.map(|bytes| Self::decode(&bytes)))
    }

    /// Replaces the identity of a directory: after a crash at any moment either the old or the new one is there, whole.
    ///
    /// # Errors
    /// When anything could not be written or made durable.
    pub fn save(&self, disk: &dyn Disk) -> Result<(), SaveError> {
        let bytes = self.encode().map_err(SaveError::Unwritable)?;
        whole::replace(disk, IDENTITY, IDENTITY_TEMPORARY, &bytes).map_err(SaveError::Disk)
    }

    /// The file's bytes.
    ///
    /// # Errors
    /// When the node is no member of the configuration, or an address or a list is too long.
    pub fn encode(&self) -> Result<Vec<u8>, FileError> {
        // Every field is named, so that a new one cannot be forgotten here. It needs a new version.
        let Self { cluster, node, configuration, cluster_options, durability, identity } = self;
        let Identity { instance, incarnation, epoch, founders } = identity;
        if !configuration.contains(*node) {
            return Err(FileError::Field("node, which is no member of its configuration,"));
        }
        let mut bytes = FRAME.begin();
        bytes.extend_from_slice(&cluster.0.to_le_bytes());
        bytes.extend_from_slice(&node.0.to_le_bytes());
        bytes.push(match durability {
            Durability::Replicated => 0,
            Durability::Background => 1,
            Durability::Synchronous => 2,
        });
        for option in cluster_options.to_array() {
            bytes.extend_from_slice(&option.to_le_bytes());
        }
        bytes.extend_from_slice(&instance.0.to_le_bytes());
        bytes.extend_from_slice(&incarnation.0.to_le_bytes());
        bytes.extend_from_slice(&epoch.0.to_le_bytes());
        encode_founders(founders, &mut bytes)?;
        encode_configuration(configuration, &mut bytes)?;
        let bytes = FRAME.seal(bytes);
        assert!(bytes.len() <= IDENTITY_BYTES_MAX, "every part is bounded");
        Ok(bytes)
    }

    /// Reads a file's bytes.
    ///
    /// # Errors
    /// When they are not exactly what `encode` writes.
    pub fn decode(bytes: &[u8]) -> Result<Self, FileError> {
        let mut fields = FRAME.open(bytes)?;
        let cluster = ClusterId(fields.u128("cluster id")?);
        let node = NodeId(fields.u64("replica id")?);
        let durability = match fields.u8("durability")? {
            0 => Durability::Replicated,
            1 => Durability::Background,
            2 => Durability::Synchronous,
            _ => return Err(FileError::Field("durability")),
        };
        let mut cluster_options = [0; ClusterOptions::COUNT];
        for option in &mut cluster_options {
            *option = fields.u32("cluster options")?;
        }
        let cluster_options = ClusterOptions::from_array(cluster_options);
        let identity = Identity {
            instance: InstanceId(fields.u128("instance")?),
            incarnation: Incarnation(fields.u64("incarnation")?),
            epoch: EpochNumber(fields.u64("epoch")?),
            founders: decode_founders(&mut fields)?,
        };
        let configuration = decode_configuration(&mut fields)?;
        fields.end()?;
        if !configuration.contains(node) {
            return Err(FileError::Field("replica id, which is no member of its configuration,"));
        }
        Ok(Self { cluster, node, configuration, cluster_options, durability, identity })
    }
}

fn encode_founders(founders: &[Founder], bytes: &mut Vec<u8>) -> Result<(), FileError> {
    if founders.len() > MEMBERS_MAX {
        return Err(FileError::TooLong("list of founders"));
    }
    bytes.push(u8::try_from(founders.len()).expect("at most MEMBERS_MAX"));
    for founder in founders {
        bytes.extend_from_slice(&founder.node.0.to_le_bytes());
        bytes.extend_from_slice(&founder.instance.0.to_le_bytes());
    }
    Ok(())
}

fn decode_founders(fields: &mut Fields<'_>) -> Result<Vec<Founder>, FileError> {
    let count = fields.u8("number of founders")?;
    if usize::from(count) > MEMBERS_MAX {
        return Err(FileError::Field("number of founders"));
    }
    (0..count)
        .map(|_| Ok(Founder { node: NodeId(fields.u64("founder")?), instance: InstanceId(fields.u128("founder")?) }))
        .collect()
}

fn encode_configuration(configuration: &Configuration, bytes: &mut Vec<u8>) -> Result<(), FileError> {
    bytes.extend_from_slice(&configuration.epoch().0.to_le_bytes());
    bytes.push(u8::try_from(configuration.len()).expect("at most MEMBERS_MAX"));
    for Member { id, role, address } in configuration.members() {
        bytes.extend_from_slice(&id.0.to_le_bytes());
        bytes.push(match role {
            Role::Active => 0,
        });
        let length = u16::try_from(address.len()).ok().filter(|length| usize::from(*length) <= ADDRESS_BYTES_MAX);
        bytes.extend_from_slice(&length.ok_or(FileError::TooLong("address of a member"))?.to_le_bytes());
        bytes.extend_from_slice(address.as_bytes());
    }
    Ok(())
}

fn decode_configuration(fields: &mut Fields<'_>) -> Result<Configuration, FileError> {
    let epoch = EpochNumber(fields.u64("epoch of the configuration")?);
    let count = fields.u8("number of members")?;
    let mut members = Vec::new();
    for _ in 0..count {
        let id = NodeId(fields.u64("member")?);
        let role = match fields.u8("role of a member")? {
            0 => Role::Active,
            _ => return Err(FileError::Field("role of a member")),
        };
        let length = usize::from(fields.u16("address of a member")?);
        if length > ADDRESS_BYTES_MAX {
            return Err(FileError::Field("address of a member"));
        }
        let address = fields.bytes(length, "address of a member")?.to_vec();
        let address = String::from_utf8(address).map_err(|_| FileError::Field("address of a member"))?;
        members.push(Member { id, role, address });
    }
    Configuration::new(epoch, members).map_err(|_| FileError::Field("list of members"))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::frame::{CHECKSUM_BYTES, HEADER_BYTES};
    use crate::io::{Fault, SimulatedDisk};

    /// An identity with every part in use.
    pub(crate) fn example() -> IdentityFile {
        let member = |id: u64| Member { id: NodeId(id), role: Role::Active, address: format!("10.0.0.{id}:2380") };
        let founder = |id: u64| Founder { node: NodeId(id), instance: InstanceId(u128::MAX - u128::from(id)) };
        IdentityFile {
            cluster: ClusterId(0x0123_4567_89ab_cdef_0011_2233_4455_6677),
            node: NodeId(2),
            configuration: Configuration::new(EpochNumber(4), (0..3).map(member).collect()).unwrap(),
            cluster_options: ClusterOptions::from_array([11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23]),
            durability: Durability::Replicated,
            identity: Identity {
                instance: InstanceId(0xfeed),
                incarnation: Incarnation(7),
                epoch: EpochNumber(3),
                founders: (0..3).map(founder).collect(),
            },
        }
    }

    #[test]
    fn what_was_encoded_is_decoded() {
        let file = example();
        assert_eq!(IdentityFile::decode(&file.encode().unwrap()), Ok(file));
    }

    /// Replicas of this and later releases must read what this release writes: docs/formats.md.
    #[test]
    fn the_bytes_are_those_of_the_documented_format() {
        let bytes = example().encode().unwrap();
        assert_eq!(bytes[..16], *b"VRIDENT\n\x01\0\0\0\x07\x01\0\0");
        assert_eq!(bytes[16..32], example().cluster.0.to_le_bytes());
        assert_eq!(bytes[32..41], [2, 0, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(bytes[41..57], [11, 0, 0, 0, 12, 0, 0, 0, 13, 0, 0, 0, 14, 0, 0, 0]);
        assert_eq!(bytes[57..73], [15, 0, 0, 0, 16, 0, 0, 0, 17, 0, 0, 0, 18, 0, 0, 0]);
        assert_eq!(bytes[73..93], [19, 0, 0, 0, 20, 0, 0, 0, 21, 0, 0, 0, 22, 0, 0, 0, 23, 0, 0, 0]);
        assert_eq!(bytes[93..95], [0xed, 0xfe]);
        assert_eq!((bytes[109], bytes[117], bytes[125]), (7, 3, 3), "incarnation, epoch, founders");
        assert_eq!((bytes[198], bytes[206]), (4, 3), "epoch of the configuration, members");
        assert_eq!(bytes[215..218], [0, 13, 0], "role, length of the address");
        assert_eq!(bytes[218..231], *b"10.0.0.0:2380");
        assert_eq!(bytes.len(), 16 + 0x107 + 4);
        assert_eq!(crc32c::crc32c(&bytes[..bytes.len() - 4]).to_le_bytes(), bytes[bytes.len() - 4..]);
    }

    #[test]
    fn a_file_cut_at_any_length_is_refused() {
        let bytes = example().encode().unwrap();
        for length in 0..bytes.len() {
            assert!(IdentityFile::decode(&bytes[..length]).is_err(), "{length} bytes");
        }
        let longer = [&bytes[..], &[0]].concat();
        assert_eq!(IdentityFile::decode(&longer), Err(FileError::Length { expected: 283, found: 284 }));
    }

    #[test]
    fn a_file_with_any_bit_flipped_is_refused() {
        let bytes = example().encode().unwrap();
        for place in 0..bytes.len() * 8 {
            let mut damaged = bytes.clone();
            damaged[place / 8] ^= 1 << (place % 8);
            assert!(IdentityFile::decode(&damaged).is_err(), "bit {place}");
        }
    }

    fn sealed(mut bytes: Vec<u8>) -> Vec<u8> {
        bytes.truncate(bytes.len() - CHECKSUM_BYTES);
        let checksum = crc32c::crc32c(&bytes);
        bytes.extend_from_slice(&checksum.to_le_bytes());
        bytes
    }

    #[test]
    fn a_file_of_a_later_release_is_told_from_a_damaged_one() {
        let mut bytes = example().encode().unwrap();
        bytes[8] = 2;
        assert_eq!(IdentityFile::decode(&bytes), Err(FileError::Checksum));
        assert_eq!(IdentityFile::decode(&sealed(bytes)), Err(FileError::Newer { found: 2, newest: 1 }));
        assert_eq!(IdentityFile::decode(b"#!/bin/sh\necho hello, world\n"), Err(FileError::Foreign));
    }

    /// A checksum does not make nonsense sensible: every byte set to every value either decodes or is refused, without a panic.
    #[test]
    fn nonsense_under_a_right_checksum_is_refused() {
        let bytes = example().encode().unwrap();
        for place in HEADER_BYTES..bytes.len() - CHECKSUM_BYTES {
            for value in 0..=255 {
                let mut other = bytes.clone();
                other[place] = value;
                let _ = IdentityFile::decode(&sealed(other));
            }
        }
        let nonsense = [(40, 3, "durability"), (125, 32, "number of founders"), (206, 0, "list of members")];
        for (place, value, name) in nonsense {
            let mut other = bytes.clone();
            other[place] = value;
            let result = IdentityFile::decode(&sealed(other));
            assert!(matches!(result, Err(FileError::Field(_))), "{name}: {result:?}");
        }
        let mut not_a_member = example();
        not_a_member.node = NodeId(9);
        assert!(matches!(not_a_member.encode(), Err(FileError::Field(_))));
    }

    #[test]
    fn an_address_that_is_too_long_is_refused_before_it_is_written() {
        let mut file = example();
        let member = |length| Member { id: NodeId(2), role: Role::Active, address: "a".repeat(length) };
        let configuration = |length| Configuration::new(EpochNumber(4), vec![member(length)]).unwrap();
        file.configuration = configuration(ADDRESS_BYTES_MAX);
        assert_eq!(IdentityFile::decode(&file.encode().unwrap()), Ok(file.clone()));
        file.configuration = configuration(ADDRESS_BYTES_MAX + 1);
        assert_eq!(file.encode(), Err(FileError::TooLong("address of a member")));
    }

    /// The incarnation must never go back (C15): an identity that was reported as saved is there after any power cut.
    #[test]
    fn a_power_cut_while_an_identity_is_saved_leaves_the_old_or_the_new_one() {
        let newer = IdentityFile { node: NodeId(1), ..example() };
        for call in 0..5 {
            for seed in 0..20_u64 {
                let disk = SimulatedDisk::new();
                example().save(&disk).unwrap();
                disk.fail_call(disk.calls() + call, Fault::PowerCut);
                newer.save(&disk).unwrap_err();
                let mut choices = seed;
                disk.cut_power(&mut |bound| {
                    choices = choices.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
                    (choices >> 33) % bound
                });
                let found = IdentityFile::load(&disk).unwrap().unwrap().unwrap();
                assert!(found == example() || found == newer, "call {call}, seed {seed}");
                newer.save(&disk).unwrap();
                disk.cut_power(&mut |_| 0);
                assert_eq!(IdentityFile::load(&disk).unwrap(), Some(Ok(newer.clone())));
            }
        }
    }

    #[test]
    fn a_disk_that_refuses_is_named_with_what_was_tried() {
        for (call, action) in (0..5).zip(["create", "write", "make durable", "replace", "make durable the name of"]) {
            for fault in [Fault::Error, Fault::NoSpace] {
                let disk = SimulatedDisk::new();
                disk.fail_call(call, fault);
                match example().save(&disk).unwrap_err() {
                    SaveError::Disk(error) => assert_eq!(error.action, action),
                    error => panic!("{error}"),
                }
            }
        }
        let disk = SimulatedDisk::new();
        assert_eq!(IdentityFile::load(&disk).unwrap(), None);
        example().save(&disk).unwrap();
        for (call, action) in (0..3).zip(["open", "read", "read"]) {
            disk.fail_call(disk.calls() + call, Fault::Error);
            assert_eq!(IdentityFile::load(&disk).unwrap_err().action, action);
        }
    }
}
