//! What the statuses of the replicas say about the group: healthy, degraded, or without a quorum.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use viewstamped::NodeStatus;

use crate::failure::{EXIT_NO, EXIT_NO_QUORUM};
use crate::session::Answer;

/// The verdict in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Verdict {
    /// All members answer, are normal and in one view.
    Healthy,
    /// The group may serve, but something is wrong with it.
    Degraded,
    /// Fewer than a quorum are normal in one view: nothing is served.
    NoQuorum,
}

impl Verdict {
    /// The exit code of `vr status`.
    pub(crate) fn code(self) -> u8 {
        match self {
            Self::Healthy => 0,
            Self::Degraded => EXIT_NO,
            Self::NoQuorum => EXIT_NO_QUORUM,
        }
    }

    /// As shown to people.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Degraded => "degraded",
            Self::NoQuorum => "no quorum",
        }
    }
}

/// The verdict with its reasons.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Health {
    /// The verdict.
    pub(crate) verdict: Verdict,
    /// What is wrong, a sentence each; empty when healthy.
    pub(crate) problems: Vec<String>,
}

/// Judges the group by what its replicas answered.
pub(crate) fn judge(answers: &[Answer]) -> Health {
    let statuses: Vec<&NodeStatus> = answers.iter().filter_map(|answer| answer.status.as_ref().ok()).collect();
    let mut problems: Vec<String> =
        answers.iter().filter_map(|answer| answer.status.as_ref().err().map(ToString::to_string)).collect();
    problems.extend(statuses.iter().filter_map(|status| problem_of(status)));
    problems.extend(contradictions(&statuses));

    // Before a replica has learned the group there is only the number of endpoints to go by.
    let members = statuses
        .iter()
        .max_by_key(|status| (status.epoch, status.members.len()))
        .map_or(0, |status| status.members.len());
    let size = if members == 0 { answers.len() } else { members };
    let quorum = size - size.saturating_sub(1) / 2;
    let together = largest_view(&statuses);
    let unasked = size.saturating_sub(answers.len());
    if unasked > 0 {
        problems.push(format!("{} of {size} members were asked; name all of them with --endpoints", answers.len()));
    }
    let verdict = if together + unasked < quorum {
        problems.push(format!("{together} of {size} members are normal in one view, {quorum} are needed"));
        Verdict::NoQuorum
    } else if problems.is_empty() && together == size {
        Verdict::Healthy
    } else {
        Verdict::Degraded
    };
    Health { verdict, problems }
}

fn problem_of(status: &NodeStatus) -> Option<String> {
    let id = status.id;
    match status.not_serving.as_deref() {
        Some("quorum-lost") => Some(format!(
            "replica {id} does not serve: so many members lost their memory at once that nobody has the state; \
             where they kept a journal (durability background), `vr recover` begins again with what their disks hold"
        )),
        Some(reason) => Some(format!("replica {id} does not serve: {reason}")),
        None if status.status != "normal" => Some(format!("replica {id} is {}", status.status)),
        None => None,
    }
}

/// What cannot be true of one healthy group.
fn contradictions(statuses: &[&NodeStatus]) -> Vec<String> {
    let mut found = Vec::new();
    let clusters: BTreeSet<&str> = statuses.iter().map(|status| status.cluster.as_str()).collect();
    if clusters.len() > 1 {
        let list: Vec<&str> = clusters.into_iter().collect();
        found.push(format!("the endpoints belong to different clusters: {}", list.join(", ")));
    }
    let mut processes: BTreeMap<u64, BTreeSet<u32>> = BTreeMap::new();
    for status in statuses {
        processes.entry(status.id).or_default().insert(status.pid);
    }
    for (id, pids) in processes {
        if pids.len() > 1 {
            let list: Vec<String> = pids.iter().map(u32::to_string).collect();
            found.push(format!(
                "several processes say that they are replica {id}: {}; stop all but one",
                list.join(", ")
            ));
        }
    }
    let normal: BTreeSet<u64> =
        statuses.iter().filter(|status| status.status == "normal").map(|status| status.view).collect();
    if normal.len() > 1 {
        found.push("the replicas are in different views; a view change may be under way".to_owned());
    }
    found
}

/// How many replicas are normal in the view that most are normal in.
fn largest_view(statuses: &[&NodeStatus]) -> usize {
    let mut views: BTreeMap<(&str, u64, u64), BTreeSet<u64>> = BTreeMap::new();
    for status in statuses.iter().filter(|status| status.status == "normal") {
        views.entry((&status.cluster, status.epoch, status.view)).or_default().insert(status.id);
    }
    views.values().map(BTreeSet::len).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use viewstamped::{MemberStatus, StatusError};

    use super::*;

    fn replica(id: u64, status: &str, view: u64) -> Answer {
        let members = (0..3).map(|id| MemberStatus { id, ..MemberStatus::default() }).collect();
        let pid = u32::try_from(100 + id).unwrap();
        let status = NodeStatus { id, pid, status: status.to_owned(), view, members, ..NodeStatus::default() };
        Answer { endpoint: format!("h:{id}"), status: Ok(status) }
    }

    fn silent(id: u64) -> Answer {
        let endpoint = format!("h:{id}");
        Answer { status: Err(StatusError::TimedOut { endpoint: endpoint.clone() }), endpoint }
    }

    fn verdict(answers: &[Answer]) -> Verdict {
        judge(answers).verdict
    }

    #[test]
    fn all_normal_in_one_view_is_healthy() {
        let health = judge(&[replica(0, "normal", 4), replica(1, "normal", 4), replica(2, "normal", 4)]);
        assert_eq!(health, Health { verdict: Verdict::Healthy, problems: Vec::new() });
    }

    #[test]
    fn quorum_that_is_normal_is_degraded() {
        assert_eq!(verdict(&[replica(0, "normal", 4), silent(1), replica(2, "normal", 4)]), Verdict::Degraded);
        assert_eq!(
            verdict(&[replica(0, "normal", 4), replica(1, "recovering", 0), replica(2, "normal", 4)]),
            Verdict::Degraded
        );
        assert_eq!(
            verdict(&[replica(0, "normal", 3), replica(1, "normal", 4), replica(2, "normal", 4)]),
            Verdict::Degraded
        );
    }

    #[test]
    fn less_than_a_quorum_in_one_view_is_no_quorum() {
        assert_eq!(verdict(&[silent(0), silent(1), silent(2)]), Verdict::NoQuorum);
        assert_eq!(verdict(&[replica(0, "normal", 4), silent(1), silent(2)]), Verdict::NoQuorum);
        assert_eq!(verdict(&[replica(0, "normal", 4), replica(1, "normal", 5), silent(2)]), Verdict::NoQuorum);
        assert_eq!(verdict(&[replica(0, "normal", 4), replica(0, "normal", 4), silent(2)]), Verdict::NoQuorum);
    }

    #[test]
    fn members_that_were_not_asked_may_be_well() {
        assert_eq!(verdict(&[replica(0, "normal", 4)]), Verdict::Degraded);
        assert_eq!(verdict(&[replica(0, "recovering", 4)]), Verdict::Degraded);
        assert_eq!(verdict(&[silent(0), silent(1)]), Verdict::NoQuorum);
    }

    #[test]
    fn two_replicas_with_one_id_and_two_clusters_are_named() {
        let mut twin = replica(0, "normal", 4);
        let status = twin.status.as_mut().unwrap();
        status.pid = 7;
        status.cluster = "ab".to_owned();
        let problems = judge(&[replica(0, "normal", 4), twin, replica(2, "normal", 4)]).problems.join("\n");
        assert!(problems.contains("several processes say that they are replica 0: 7, 100"), "{problems}");
        assert!(problems.contains("different clusters"), "{problems}");
    }
}
