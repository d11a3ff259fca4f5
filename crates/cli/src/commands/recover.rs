//! `vr recover`: lets a group of which nobody remembers go on with the best that its disks hold, once somebody has seen what that is.

use std::collections::BTreeSet;
use std::io::{self, IsTerminal};
use std::time::{Duration, Instant};

use clap::Args;
use viewstamped::{ClusterId, NodeId, NodeStatus, SurvivorStatus, force_recover};

use crate::failure::{EXIT_NO, EXIT_NO_QUORUM, EXIT_USAGE, Failure, Outcome};
use crate::health::{Verdict, judge};
use crate::human::Span;
use crate::members::{cluster_id, cluster_of};
use crate::output;
use crate::session::{Answer, Endpoints, STATUS_TIMEOUT, ask_all};
use crate::table::Table;

/// How often the replicas are asked whether they serve.
const INTERVAL: Duration = Duration::from_millis(100);

/// Begin again with what the disks hold, after all members lost their memory at once
#[derive(Args, Debug)]
#[command(after_help = "\
For a group that says \"quorum lost\": all its members crashed at once, with durability background. What was acknowledged is
on their disks but for the last moments, and nobody can tell what those were, so somebody has to accept that. First start
all members. The command shows what each disk holds and what would be taken, and begins only when you say so. Nothing is
asked and nothing is lost while a quorum remembers, and in a group with durability synchronous.

A member that is gone for good, or whose disk is, is given up by --without: what it alone had is lost. It comes back later
as a replica whose directory was lost (`vr start --help`).

Exit code: 0 the group serves again (or did all the time), 1 you did not agree, 2 it cannot begin again like that.

Examples:
  vr recover
  vr recover --endpoints 10.0.0.1:2379,10.0.0.2:2379,10.0.0.3:2379
  vr recover --without 2 --yes")]
pub(crate) struct Recover {
    #[command(flatten)]
    endpoints: Endpoints,
    /// The id of the cluster, to be certain that it is the right one
    #[arg(long, value_name = "ID", value_parser = cluster_id)]
    cluster: Option<ClusterId>,
    /// Members that are gone for good, by their ids, separated by commas
    #[arg(long, value_name = "IDS", value_delimiter = ',')]
    without: Vec<u64>,
    /// Begin without asking
    #[arg(long)]
    yes: bool,
    /// How long the group may take until it serves again
    #[arg(long, value_name = "TIME", default_value = "60s")]
    timeout: Span,
}

/// What is known of an outage of all.
#[derive(Debug)]
struct Outage {
    cluster: ClusterId,
    /// Who takes part: the client address, the replica and what its disk holds.
    members: Vec<(String, u64, SurvivorStatus)>,
    given_up: BTreeSet<u64>,
    size: usize,
}

impl Recover {
    pub(crate) async fn run(self) -> Outcome {
        let answers = ask_all(&self.endpoints.endpoints).await;
        if judge(&answers).verdict != Verdict::NoQuorum {
            output::line("nothing to recover: a quorum of the group is there (`vr status` shows how it is)")?;
            return Ok(0);
        }
        let given_up: BTreeSet<u64> = self.without.iter().copied().collect();
        let outage = Outage::of(&answers, self.cluster, given_up)?;
        for line in outage.lines() {
            output::line(line)?;
        }
        if !self.yes && !is_agreed()? {
            output::remark("nothing was changed; `vr recover --yes` begins without asking");
            return Ok(EXIT_NO);
        }
        self.begin(&outage).await
    }

    /// Tells all who take part, again and again: one that has just started again has forgotten it.
    async fn begin(&self, outage: &Outage) -> Outcome {
        let deadline = Instant::now() + self.timeout.0;
        loop {
            for (endpoint, _, _) in &outage.members {
                let without = outage.given_up.iter().map(|id| NodeId(*id)).collect();
                // One that does not answer now is told by the next round, or named at the end.
                let _ = force_recover(endpoint, outage.cluster, without, STATUS_TIMEOUT).await;
            }
            let answers = ask_all(&self.endpoints.endpoints).await;
            let health = judge(&answers);
            let mut statuses = answers.iter().filter_map(|answer| answer.status.as_ref().ok());
            if health.verdict != Verdict::NoQuorum
                && let Some(primary) = statuses.find(|status| status.role == "primary")
            {
                output::line(format_args!(
                    "the group serves again: view {}, primary {}, operations up to {}",
                    primary.view, primary.id, primary.commit
                ))?;
                return Ok(0);
            }
            if Instant::now() > deadline {
                let what = format!("the group does not serve after {} s", self.timeout.0.as_secs());
                let next = "leave the replicas running, look at their logs, and run the command again";
                return Err(Failure::new(what, health.problems.join("\n"), next).with_code(EXIT_NO_QUORUM));
            }
            tokio::time::sleep(INTERVAL).await;
        }
    }
}

fn refused(why: impl std::fmt::Display, next: impl Into<String>) -> Failure {
    Failure::new("the group cannot begin again like that", why, next).with_code(EXIT_NO_QUORUM)
}

impl Outage {
    /// What the answers say, if the group may begin again.
    fn of(answers: &[Answer], cluster: Option<ClusterId>, given_up: BTreeSet<u64>) -> Result<Self, Failure> {
        let there: Vec<(&str, &NodeStatus)> = answers
            .iter()
            .filter_map(|answer| Some((answer.endpoint.as_str(), answer.status.as_ref().ok()?)))
            .filter(|(_, status)| !given_up.contains(&status.id))
            .collect();
        let cluster = the_cluster(&there, cluster)?;
        let all: BTreeSet<u64> = there.iter().flat_map(|(_, status)| &status.members).map(|member| member.id).collect();
        let strangers: Vec<String> = given_up.difference(&all).map(u64::to_string).collect();
        if !strangers.is_empty() {
            let why = format!("no members of this group: {}", strangers.join(", "));
            return Err(refused(why, "correct --without").with_code(EXIT_USAGE));
        }
        let mut members: Vec<(String, u64, SurvivorStatus)> = Vec::new();
        for (endpoint, status) in there {
            let survivor = survivor(status)?;
            members.push((endpoint.to_owned(), status.id, survivor));
        }
        members.sort_by_key(|(_, id, _)| *id);
        members.dedup_by_key(|(_, id, _)| *id);
        let ids: BTreeSet<u64> = members.iter().map(|(_, id, _)| *id).collect();
        let missing: Vec<u64> = all.iter().copied().filter(|id| !ids.contains(id) && !given_up.contains(id)).collect();
        if !missing.is_empty() {
            return Err(lacking(&missing, answers));
        }
        let quorum = all.len() - all.len().saturating_sub(1) / 2;
        if members.len() < quorum {
            let why = format!("{} of {} members are left, {quorum} are needed", members.len(), all.len());
            return Err(refused(why, "start more of them, and give up fewer"));
        }
        if members.iter().all(|(_, _, survivor)| !survivor.has_journal) {
            let why = "no disk holds a journal (durability `replicated`): there is nothing to begin with";
            return Err(refused(why, "keep the directories as they are, and begin a new cluster in others: vr format"));
        }
        Ok(Self { cluster, members, given_up, size: all.len() })
    }

    /// Whose log is taken: the same rule as in the replicas, that of view changes.
    fn best(&self) -> &(String, u64, SurvivorStatus) {
        let rank = |(_, id, survivor): &&(String, u64, SurvivorStatus)| (survivor.log_view, survivor.op, *id);
        self.members.iter().filter(|(_, _, survivor)| survivor.has_journal).max_by_key(rank).expect("asked by `of`")
    }

    /// What the operator has to know.
    fn lines(&self) -> Vec<String> {
        let (_, best, taken) = self.best();
        let mut table = Table::new(["replica", "endpoint", "view", "log-view", "op", "committed", ""]);
        for (endpoint, id, survivor) in &self.members {
            let SurvivorStatus { view, log_view, op, commit, has_journal } = survivor;
            let remark = match (id == best, has_journal) {
                (true, _) => "its log is taken",
                (false, true) => "",
                (false, false) => "no journal",
            };
            let mut cells = vec![id.to_string(), endpoint.clone()];
            cells.extend([view, log_view, op, commit].map(u64::to_string));
            cells.push(remark.to_owned());
            table.row(cells);
        }
        let mut lines = vec![format!("cluster {}: what the disks of its members hold", self.cluster)];
        lines.extend(table.lines());
        let certain = self.members.iter().map(|(_, _, survivor)| survivor.commit).max().unwrap_or_default();
        lines.push(format!("certain  operations up to {certain}: a disk knows that they were committed; they stay"));
        if taken.op > certain {
            lines.push(format!(
                "taken    operations {} to {} of replica {best} as well: they may or may not have been acknowledged",
                certain + 1,
                taken.op
            ));
        }
        lines.push(format!(
            "lost     whatever was acknowledged after operation {}: of the last moments before the crash, on no disk",
            taken.op
        ));
        if !self.given_up.is_empty() {
            let ids: Vec<String> = self.given_up.iter().map(u64::to_string).collect();
            lines.push(format!(
                "given up replicas {} of {}: what they alone have is lost, too; never start one again with its old directory",
                ids.join(", "),
                self.size
            ));
        }
        lines
    }
}

/// The cluster of all that answer.
fn the_cluster(there: &[(&str, &NodeStatus)], wanted: Option<ClusterId>) -> Result<ClusterId, Failure> {
    let names: BTreeSet<&str> = there.iter().map(|(_, status)| status.cluster.as_str()).collect();
    let names: Vec<&str> = names.into_iter().collect();
    let [name] = names[..] else {
        let why = match names.len() {
            0 => "no member that is not given up answers".to_owned(),
            _ => format!("the endpoints belong to different clusters: {}", names.join(", ")),
        };
        return Err(refused(why, "start all members, and name their client addresses with --endpoints"));
    };
    let found = cluster_of(name)?;
    match wanted.filter(|wanted| *wanted != found) {
        Some(wanted) => {
            let why = format!("the replicas belong to cluster {found}, not to {wanted}");
            Err(refused(why, "correct --cluster or --endpoints").with_code(EXIT_USAGE))
        }
        None => Ok(found),
    }
}

/// What the disk of a replica holds that is to take part.
fn survivor(status: &NodeStatus) -> Result<SurvivorStatus, Failure> {
    let id = status.id;
    let Some(survivor) = status.survivor.clone() else {
        let why = format!("replica {id} is {}: it remembers, or knows nothing of the group yet", status.status);
        return Err(refused(why, "wait until all members say quorum-lost in `vr status -o json`, then try again"));
    };
    if status.incarnation == 0 {
        let why = format!("replica {id} has no identity: its directory was lost");
        return Err(refused(why, format!("put its directory back, or give it up: vr recover --without {id}")));
    }
    if status.not_serving.as_deref() != Some("quorum-lost") {
        let why = format!("replica {id} still looks for members that remember");
        return Err(refused(why, "wait a few seconds, then try again"));
    }
    Ok(survivor)
}

/// The failure when members do not answer.
fn lacking(missing: &[u64], answers: &[Answer]) -> Failure {
    let ids: Vec<String> = missing.iter().map(u64::to_string).collect();
    let ids = ids.join(",");
    let errors: Vec<String> =
        answers.iter().filter_map(|answer| answer.status.as_ref().err().map(ToString::to_string)).collect();
    let why = format!("no word of replicas {ids}, whose disks may hold more than all others\n{}", errors.join("\n"));
    let next = format!(
        "start them, and name all client addresses with --endpoints; if they are gone for good: vr recover --without {ids}"
    );
    refused(why.trim_end(), next)
}

/// Asks whoever sits at the terminal; nobody there does not agree.
fn is_agreed() -> Result<bool, Failure> {
    if !io::stdin().is_terminal() {
        return Ok(false);
    }
    output::remark_part("begin again with that? Type yes: ");
    let mut answer = String::new();
    io::stdin().read_line(&mut answer).map_err(|error| Failure::new("cannot read the answer", error, "use --yes"))?;
    Ok(answer.trim() == "yes")
}

#[cfg(test)]
mod tests {
    use viewstamped::{MemberStatus, StatusError};

    use super::*;

    fn answer(id: u64, log_view: u64, op: u64, commit: u64) -> Answer {
        let survivor = SurvivorStatus { has_journal: true, view: log_view, log_view, op, commit };
        let members = (0..3).map(|id| MemberStatus { id, ..MemberStatus::default() }).collect();
        let status = NodeStatus {
            cluster: "0x7d1".to_owned(),
            id,
            incarnation: 1,
            status: "recovering".to_owned(),
            not_serving: Some("quorum-lost".to_owned()),
            survivor: Some(survivor),
            members,
            ..NodeStatus::default()
        };
        Answer { endpoint: format!("h:{id}"), status: Ok(status) }
    }

    fn silent(id: u64) -> Answer {
        let endpoint = format!("h:{id}");
        Answer { status: Err(StatusError::TimedOut { endpoint: endpoint.clone() }), endpoint }
    }

    fn outage(answers: &[Answer], given_up: &[u64]) -> Result<Outage, Failure> {
        Outage::of(answers, None, given_up.iter().copied().collect())
    }

    #[test]
    fn log_of_the_latest_view_is_taken_and_what_is_certain_and_what_not_is_told() {
        let outage = outage(&[answer(0, 1, 90, 40), answer(1, 2, 60, 50), answer(2, 2, 58, 55)], &[]).unwrap();
        assert_eq!((outage.best().1, outage.cluster), (1, ClusterId(0x7d1)));
        let text = outage.lines().join("\n");
        for expected in
            ["certain  operations up to 55", "taken    operations 56 to 60 of replica 1", "lost     whatever"]
        {
            assert!(text.contains(expected), "{expected} is missing in {text}");
        }
    }

    #[test]
    fn member_that_is_silent_is_started_or_given_up() {
        let answers = [answer(0, 1, 9, 4), answer(1, 1, 8, 4), silent(2)];
        let refusal = outage(&answers, &[]).unwrap_err().to_string();
        assert!(refusal.contains("replicas 2") && refusal.contains("--without 2"), "{refusal}");
        let without = outage(&answers, &[2]).unwrap();
        assert!(without.lines().join("\n").contains("given up replicas 2 of 3"));
        let refusal = outage(&answers, &[1, 2]).unwrap_err().to_string();
        assert!(refusal.contains("1 of 3 members are left, 2 are needed"), "{refusal}");
        assert_eq!(outage(&answers, &[2, 7]).unwrap_err().code(), EXIT_USAGE);
    }

    #[test]
    fn replica_without_an_identity_and_one_that_remembers_are_no_part_of_it() {
        for (change, words) in [
            ((|status| status.incarnation = 0) as fn(&mut NodeStatus), "--without 2"),
            (|status| status.survivor = None, "it remembers"),
            (|status| status.not_serving = None, "still looks for members"),
            (|status| status.cluster = "0x8".to_owned(), "different clusters"),
        ] {
            let mut other = answer(2, 1, 1, 1);
            change(other.status.as_mut().unwrap());
            let refusal = outage(&[answer(0, 1, 9, 4), answer(1, 1, 8, 4), other], &[]).unwrap_err().to_string();
            assert!(refusal.contains(words), "{refusal}");
        }
        let answers = [answer(0, 1, 9, 4), answer(1, 1, 8, 4), answer(2, 1, 9, 4)];
        assert_eq!(Outage::of(&answers, Some(ClusterId(1)), BTreeSet::new()).unwrap_err().code(), EXIT_USAGE);
    }
}
