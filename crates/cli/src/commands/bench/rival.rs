//! The systems ours is compared with.

use std::path::PathBuf;
use std::str::FromStr;

/// Another system that serves the same load.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Rival {
    /// etcd, as many nodes as ours has replicas.
    Etcd,
    /// Our service behind our connections, without replication.
    Unreplicated,
    /// Another build of this program.
    Program(PathBuf),
}

impl Rival {
    /// Its name in tables and plots.
    pub(super) fn name(&self) -> String {
        match self {
            Self::Etcd => "etcd".to_owned(),
            Self::Unreplicated => "unreplicated".to_owned(),
            Self::Program(path) => path.display().to_string(),
        }
    }
}

impl FromStr for Rival {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('=') {
            None if text == "etcd" => Ok(Self::Etcd),
            None if text == "unreplicated" => Ok(Self::Unreplicated),
            Some(("vr", path)) if !path.is_empty() => Ok(Self::Program(path.into())),
            _ => Err(format!("\"{text}\" is no system to compare with: name etcd, unreplicated or vr=PROGRAM")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rivals_are_named_on_the_command_line() {
        assert_eq!("etcd".parse(), Ok(Rival::Etcd));
        assert_eq!("unreplicated".parse(), Ok(Rival::Unreplicated));
        assert_eq!("vr=/a=b".parse(), Ok(Rival::Program("/a=b".into())));
        for text in ["", "vr", "vr=", "consul"] {
            assert!(text.parse::<Rival>().unwrap_err().contains("etcd"), "{text}");
        }
    }
}
