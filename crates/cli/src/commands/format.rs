//! `vr format`: makes a directory that of a new replica, once.

use std::path::PathBuf;

use clap::Args;
use viewstamped::{ClusterId, Configuration, EpochNumber, NodeId};
use viewstamped_storage::Durability;

use crate::failure::{EXIT_USAGE, Failure, Outcome};
use crate::formatting::{self, NewReplica};
use crate::members::{Members, cluster_id};
use crate::options::SharedOptions;
use crate::output;

/// Make a directory that of a replica of a new cluster, once
#[derive(Args, Debug)]
#[command(after_help = "\
Format one directory for each member, with the same cluster id, members and cluster options, then start them all: the
cluster begins when all members are up. A directory that holds a replica already is left as it is. A replica that was
lost is not formatted again: `vr start --help` says how it comes back.

Durability:
  replicated   A commit waits for the memory of a quorum, and nothing is written but at a shutdown. When more replicas
               than the group tolerates crash at once, all data is lost.
  background   The same, but a journal and checkpoints are written behind. A replica that crashes comes back sooner. When
               all crash at once, what reached their disks is there, and the operations of the last moments are lost.
  synchronous  A commit waits for the disks of a quorum. When all crash at once, nothing that was acknowledged is lost,
               and the group goes on by itself.
After an orderly stop of all replicas the group goes on by itself in every mode.

Example:
  vr format --cluster 0x7d1 --replica 0 --members \"0=10.0.0.1:2380,1=10.0.0.2:2380,2=10.0.0.3:2380\" /var/lib/vr")]
pub(crate) struct Format {
    /// The id of the cluster, the same for all its members and no other cluster: decimal, or 0x and hexadecimal digits
    #[arg(long, value_name = "ID", value_parser = cluster_id)]
    cluster: ClusterId,
    /// The id of this replica
    #[arg(long, value_name = "ID")]
    replica: u64,
    /// All members with their peer addresses: 0=host:port,1=host:port,...
    #[arg(long, value_name = "MEMBERS")]
    members: Members,
    /// What a commit waits for, the same at all members: replicated, background or synchronous; see below
    #[arg(long, value_name = "MODE", default_value_t)]
    durability: Durability,
    #[command(flatten)]
    shared: SharedOptions,
    /// The directory; made if it does not exist
    #[arg(value_name = "DIR")]
    directory: PathBuf,
}

impl Format {
    pub(crate) fn run(self) -> Outcome {
        let group = Configuration::new(EpochNumber::ZERO, self.members.0).map_err(|error| {
            Failure::new("the members are no group", error, "correct --members").with_code(EXIT_USAGE)
        })?;
        if !group.contains(NodeId(self.replica)) {
            let ids: Vec<String> = group.ids().map(|id| id.0.to_string()).collect();
            let what = format!("replica {} is no member", self.replica);
            let failure =
                Failure::new(what, format!("the members are {}", ids.join(", ")), "correct --replica or --members");
            return Err(failure.with_code(EXIT_USAGE));
        }
        if group.is_even() {
            output::remark(format_args!(
                "note: {} members tolerate the failure of {}, no more than {} would",
                group.len(),
                group.threshold(),
                group.len() - 1
            ));
        }
        let directory = self.directory.display().to_string();
        let replica = NewReplica {
            cluster: self.cluster,
            id: NodeId(self.replica),
            configuration: group,
            options: self.shared.options(),
            durability: self.durability,
        };
        formatting::format(&self.directory, replica)?;
        output::line(format_args!(
            "{directory} is that of replica {} of cluster 0x{:x}",
            self.replica, self.cluster.0
        ))?;
        output::line(format_args!("durability {}: {}", self.durability, formatting::meaning(self.durability)))?;
        output::line(format_args!("next: format the other members, then start each of them: vr start {directory}"))?;
        Ok(0)
    }
}
