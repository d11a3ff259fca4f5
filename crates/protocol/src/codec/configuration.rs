//! The group and the options all members share, as messages and checkpoints have them.

use bytes::{BufMut, BytesMut};

use super::DecodeError;
use super::reader::Reader;
use super::replica::put_count;
use crate::configuration::{Configuration, MEMBERS_MAX, Member, Role};
use crate::numbers::{EpochNumber, NodeId};
use crate::options::ClusterOptions;

/// The longest address of a member, in bytes. 512: twice the longest host name there is.
pub const ADDRESS_BYTES_MAX: usize = 512;

const ACTIVE: u8 = 1;

pub(super) fn put_options(out: &mut BytesMut, options: &ClusterOptions) {
    options.to_array().into_iter().for_each(|option| out.put_u32_le(option));
}

pub(super) fn put_configuration(out: &mut BytesMut, configuration: &Configuration) {
    out.put_u64_le(configuration.epoch().0);
    put_count(out, configuration.len());
    for member in configuration.members() {
        out.put_u64_le(member.id.0);
        out.put_u8(match member.role {
            Role::Active => ACTIVE,
        });
        put_count(out, member.address.len());
        out.put_slice(member.address.as_bytes());
    }
}

pub(super) fn options(reader: &mut Reader<'_>) -> Result<ClusterOptions, DecodeError> {
    let mut options = [0; ClusterOptions::COUNT];
    for option in &mut options {
        *option = reader.u32("cluster option")?;
    }
    Ok(ClusterOptions::from_array(options))
}

pub(super) fn configuration(reader: &mut Reader<'_>) -> Result<Configuration, DecodeError> {
    let epoch = EpochNumber(reader.number("epoch of the configuration")?);
    let count = reader.count("members", MEMBERS_MAX, 8 + 1 + 4)?;
    let members = (0..count).map(|_| member(reader)).collect::<Result<_, _>>()?;
    Ok(Configuration::new(epoch, members)?)
}

fn member(reader: &mut Reader<'_>) -> Result<Member, DecodeError> {
    let id = NodeId(reader.u64("id of a member")?);
    let role = match reader.u8("role of a member")? {
        ACTIVE => Role::Active,
        found => return Err(reader.choice("role of a member", found)),
    };
    Ok(Member { id, role, address: reader.text("bytes of address", ADDRESS_BYTES_MAX)? })
}
