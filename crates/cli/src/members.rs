//! Member lists and cluster ids as they are written on the command line.

use std::str::FromStr;

use viewstamped::{ClusterId, Member, NodeId, Role};

use crate::failure::Failure;

/// The whole list of members, `0=host:port,1=host:port,2=host:port`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Members(pub(crate) Vec<Member>);

impl FromStr for Members {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.split(',').map(member).collect::<Result<Vec<_>, _>>().map(Self)
    }
}

impl std::fmt::Display for Members {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (place, member) in self.0.iter().enumerate() {
            write!(f, "{}{}={}", if place == 0 { "" } else { "," }, member.id.0, member.address)?;
        }
        Ok(())
    }
}

fn member(text: &str) -> Result<Member, String> {
    let text = text.trim();
    let (id, address) = text.split_once('=').ok_or_else(|| {
        format!("\"{text}\" is no member: write its replica id and its peer address, as in 0=127.0.0.1:2380")
    })?;
    let id = id
        .trim()
        .parse()
        .map_err(|_| format!("\"{id}\" is no replica id: write a number from 0, as in 0={address}"))?;
    Ok(Member { id: NodeId(id), role: Role::Active, address: host_port(address)? })
}

/// Checks that an address has a host and a port; who answers there is found out later.
///
/// # Errors
/// When it has not.
pub(crate) fn host_port(text: &str) -> Result<String, String> {
    let text = text.trim();
    let whole = text.rsplit_once(':').is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok());
    if whole {
        Ok(text.to_owned())
    } else {
        Err(format!("\"{text}\" is no address: write host:port, as in 127.0.0.1:2379 or [::1]:2379"))
    }
}

/// Reads a cluster id: decimal, or hexadecimal with 0x.
///
/// # Errors
/// When it is no number, zero, or larger than 128 bits.
pub(crate) fn cluster_id(text: &str) -> Result<ClusterId, String> {
    let parsed = match text.strip_prefix("0x") {
        Some(digits) => u128::from_str_radix(digits, 16),
        None => text.parse(),
    };
    match parsed {
        Ok(0) => Err("a cluster id of 0 names no cluster: choose another number".to_owned()),
        Ok(id) => Ok(ClusterId(id)),
        Err(_) => Err(format!(
            "\"{text}\" is no cluster id: write a number below 2^128, decimal or as 0x and hexadecimal digits"
        )),
    }
}

/// The cluster id as the status of a replica says it.
///
/// # Errors
/// When it is none, as that of a program of another version.
pub(crate) fn cluster_of(status: &str) -> Result<ClusterId, Failure> {
    u128::from_str_radix(status.trim_start_matches("0x"), 16).map(ClusterId).map_err(|error| {
        let what = format!("a replica says that its cluster is `{status}`, which is no id");
        Failure::new(what, error, "use the `vr` of the version that the replicas have")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn member_list_reads_back_as_written() {
        let text = "0=127.0.0.1:2380,1=[::1]:2390,7=db.example:2400";
        let members: Members = text.parse().unwrap();
        assert_eq!(members.0.len(), 3);
        assert_eq!(members.0[2].id, NodeId(7));
        assert_eq!(members.to_string(), text);
    }

    #[test]
    fn wrong_members_are_named() {
        for (text, word) in [
            ("a:1", "no member"),
            ("x=a:1", "no replica id"),
            ("0=a", "no address"),
            ("0=:1", "no address"),
            ("", "no member"),
        ] {
            let error = text.parse::<Members>().unwrap_err();
            assert!(error.contains(word), "{text}: {error}");
        }
    }

    #[test]
    fn cluster_id_is_decimal_or_hexadecimal_and_never_zero() {
        assert_eq!(cluster_id("17"), Ok(ClusterId(17)));
        assert_eq!(cluster_id("0xff"), Ok(ClusterId(255)));
        assert_eq!(cluster_id("340282366920938463463374607431768211455"), Ok(ClusterId(u128::MAX)));
        for text in ["0", "0x0", "-1", "x", "340282366920938463463374607431768211456"] {
            assert!(cluster_id(text).is_err(), "{text}");
        }
    }
}
