//! One line of a schedule: what it means, and what is said when it does not happen.

use std::fmt::Write;
use std::time::Duration;

use viewstamped_protocol::log::Request;
use viewstamped_protocol::message::{ClientReply, ClientRequest};
use viewstamped_protocol::*;

use super::{Parcel, Script};
use crate::common::ms;

/// What becomes of a message.
enum Fate<'a> {
    Arrives,
    IsLost,
    ArrivesTwice,
    IsLate(&'a str),
    IsCopied(&'a str),
}

type Outcome = Result<(), String>;

impl Script {
    /// Does what one line says. Whatever is on a link that is cut is lost.
    pub(super) fn play_line(&mut self, line: &str) -> Outcome {
        let line = line.split("//").next().unwrap_or_default();
        let words: Vec<&str> = line.split_whitespace().collect();
        self.play_words(&words)?;
        let cut = &self.group.cut;
        self.group.network.retain(|(to, message)| !cut.contains(&(message.header.from.0, to.0)));
        Ok(())
    }

    fn play_words(&mut self, words: &[&str]) -> Outcome {
        match words {
            [] => Ok(()),
            ["everything" | "everyone" | "nothing" | "the", ..] => self.play_at_large(words),
            ["cut", link] => self.cut(link),
            [count, unit @ ("ms" | "s"), "pass"] => {
                let time = duration(count, unit)?;
                self.level_clocks();
                self.group.run_for(time);
                Ok(())
            }
            [label, "arrives"] => {
                let parcel = self.late.get(*label).cloned().ok_or("nothing is late under this label")?;
                self.deliver(parcel);
                Ok(())
            }
            [link, rest @ ..] if link.contains("->") => self.play_message(link, rest),
            [owner, "disk", rest @ ..] => {
                let node = owner.strip_suffix("'s").ok_or("a disk is somebody's")?;
                self.play_at_disk(number(node, 'r')?, rest)
            }
            [node, rest @ ..] => self.play_at(number(node, 'r')?, rest),
        }
    }

    fn play_at_large(&mut self, words: &[&str]) -> Outcome {
        match words {
            ["everything", "is", "lost"] => {
                self.group.network.clear();
                self.group.replies.clear();
            }
            ["everything", "arrives"] => {
                self.group.settle();
                for reply in std::mem::take(&mut self.group.replies) {
                    self.deliver(Parcel::ToClient(reply));
                }
            }
            ["everything", side @ ("from" | "to"), node, "is", "lost"] => {
                let node = NodeId(number(node, 'r')?);
                self.group.network.retain(
                    |(to, message)| {
                        if *side == "to" { *to != node } else { message.header.from != node }
                    },
                );
            }
            ["nothing", "is", "in", "flight", destination @ ..] => {
                let arrow = destination.last().map_or("->".into(), |to| format!("->{to} "));
                if self.in_flight().iter().any(|line| line.contains(&arrow)) {
                    return Err("something is".into());
                }
            }
            ["the", "network", "heals"] => {
                self.group.heal();
                self.level_clocks();
            }
            ["everyone", rest @ ..] => {
                for node in self.nodes() {
                    self.play_at(node, rest).map_err(|problem| format!("r{node}: {problem}"))?;
                }
            }
            _ => return Err("this is no event".into()),
        }
        Ok(())
    }

    /// What happens at one replica's disk.
    fn play_at_disk(&mut self, node: u64, words: &[&str]) -> Outcome {
        match words {
            ["is", "stuck"] => self.group.disk(node).is_stuck = true,
            ["is", "quick"] => self.group.disk(node).is_stuck = false,
            ["writes"] => self.at_clock_of(node, |group| group.write_records(node, usize::MAX)),
            ["writes", count] => {
                let count = count.parse().map_err(|_| format!("`{count}` is no number"))?;
                if self.group.disk(node).waiting.len() < count {
                    return Err(format!("only these wait: {:?}", self.group.disk(node).waiting));
                }
                self.at_clock_of(node, |group| group.write_records(node, count));
            }
            _ => return Err("this is no event".into()),
        }
        Ok(())
    }

    /// What happens at one replica.
    fn play_at(&mut self, node: u64, words: &[&str]) -> Outcome {
        match words {
            ["grows", "impatient"] => *self.ahead.entry(node).or_default() += ms(300),
            ["times", "out"] => return self.time_out(node),
            ["waits", count, unit] => self.wait(node, duration(count, unit)?),
            ["enters", view] => self.enter_view(node, number(view, 'v')?),
            ["crashes"] => self.group.crash(node),
            ["recovers" | "restarts"] => self.at_clock_of(node, |group| group.restart(node)),
            ["restarts", "in", "doubt"] => {
                self.group.disk(node).is_doubtful = true;
                self.at_clock_of(node, |group| group.restart(node));
            }
            ["is", "shut", "down"] => self.at_clock_of(node, |group| group.shut_down(node)),
            ["recovers", "wiped"] => self.at_clock_of(node, |group| group.restart_wiped(node)),
            ["is", "cut", "off"] => self.group.isolate(node),
            ["is", state @ ..] => return self.expect(&state.join(" "), &self.state(node)?),
            ["holds", entries @ ..] => return self.expect_all(&entries.join(" "), &self.entries(node)?),
            ["has", "executed", journal @ ..] => {
                self.state(node)?;
                let executed = Some(self.group.journal(node)).filter(|journal| !journal.is_empty());
                return self.expect_all(&journal.join(" "), executed.as_deref().unwrap_or("nothing"));
            }
            _ => return Err("this is no event".into()),
        }
        Ok(())
    }

    fn expect(&self, expected: &str, actual: &str) -> Outcome {
        if begins_with(actual, expected) { Ok(()) } else { Err(format!("it is {actual}")) }
    }

    fn expect_all(&self, expected: &str, actual: &str) -> Outcome {
        if actual == expected { Ok(()) } else { Err(format!("it is {actual}")) }
    }

    fn cut(&mut self, link: &str) -> Outcome {
        if let Some((from, to)) = link.split_once("->") {
            self.group.cut.insert((number(from, 'r')?, number(to, 'r')?));
        } else {
            let (left, right) = link.split_once('-').ok_or("a link is written r0-r1 or r0->r1")?;
            self.group.cut_between(number(left, 'r')?, number(right, 'r')?);
        }
        Ok(())
    }

    /// A message: the client's own happen when they are named; all others must be in flight.
    fn play_message(&mut self, link: &str, words: &[&str]) -> Outcome {
        let (from, to) = link.split_once("->").ok_or("a message goes from->to")?;
        match (from, words) {
            ("client", ["REQUEST", payload]) => {
                self.request(number(to, 'r')?, payload);
                return Ok(());
            }
            ("client", ["REGISTER"]) => {
                let to = number(to, 'r')?;
                self.at_clock_of(to, |group| group.request(to, ClientRequest::Register { slots: 8 }));
                return Ok(());
            }
            _ => {}
        }
        let (words, fate) = split_fate(words);
        let pattern = words.join(" ");
        if !link.contains('*') {
            let parcel = self.take(from, to, &pattern).ok_or("no such message is in flight")?;
            self.meet(parcel, &fate);
            return Ok(());
        }
        let found: Vec<Parcel> = std::iter::from_fn(|| self.take(from, to, &pattern)).collect();
        if found.is_empty() {
            return Err("no such message is in flight".into());
        }
        found.into_iter().for_each(|parcel| self.meet(parcel, &fate));
        Ok(())
    }

    fn meet(&mut self, parcel: Parcel, fate: &Fate<'_>) {
        match fate {
            Fate::IsLost => {}
            Fate::Arrives => self.deliver(parcel),
            Fate::ArrivesTwice => {
                self.deliver(parcel.clone());
                self.deliver(parcel);
            }
            Fate::IsLate(label) => {
                self.late.insert((*label).to_owned(), parcel);
            }
            Fate::IsCopied(label) => {
                self.late.insert((*label).to_owned(), parcel.clone());
                self.deliver(parcel);
            }
        }
    }

    /// Takes the first such message off the network.
    fn take(&mut self, from: &str, to: &str, pattern: &str) -> Option<Parcel> {
        let is_wanted = |parcel: &Parcel| {
            let (actual_from, actual_to, text) = parcel.describe();
            (from == "*" || from == actual_from) && (to == "*" || to == actual_to) && begins_with(&text, pattern)
        };
        let messages = self.group.network.iter();
        let place = messages.map(|(to, message)| Parcel::ToReplica(*to, message.clone())).position(|p| is_wanted(&p));
        if let Some((to, message)) = place.and_then(|place| self.group.network.remove(place)) {
            return Some(Parcel::ToReplica(to, message));
        }
        let place = self.group.replies.iter().position(|reply| is_wanted(&Parcel::ToClient(reply.clone())))?;
        Some(Parcel::ToClient(self.group.replies.remove(place)))
    }

    /// What is in flight, as the lines that would deliver it.
    pub fn in_flight(&self) -> Vec<String> {
        let messages = self.group.network.iter().map(|(to, message)| Parcel::ToReplica(*to, message.clone()));
        let replies = self.group.replies.iter().map(|reply| Parcel::ToClient(reply.clone()));
        let describe = |parcel: Parcel| {
            let (from, to, text) = parcel.describe();
            format!("{from}->{to}  {text}")
        };
        messages.chain(replies).map(describe).collect()
    }

    /// Everything a failed line needs for its repair.
    pub(super) fn situation(&self) -> String {
        let mut text = String::from("In flight:\n");
        for line in self.in_flight() {
            let _ = writeln!(text, "    {line}");
        }
        for node in self.nodes() {
            match (self.state(node), self.entries(node)) {
                (Ok(state), Ok(entries)) => writeln!(text, "r{node} is {state}; holds {entries}"),
                _ => writeln!(text, "r{node} is down"),
            }
            .expect("writing to a string");
        }
        text
    }

    fn state(&self, node: u64) -> Result<String, String> {
        let replica = self.group.replicas.get(&NodeId(node)).ok_or_else(|| format!("r{node} is down"))?;
        let probe = replica.probe();
        let (status, commit, executed) = (probe.status.as_str(), probe.commit.0, probe.executed.0);
        Ok(format!("{status} {} {} k{commit} x{executed} v'={}", probe.view, probe.log.op(), probe.log_view.0))
    }

    /// The operations in a replica's log, each with the view that ordered it.
    fn entries(&self, node: u64) -> Result<String, String> {
        let replica = self.group.replicas.get(&NodeId(node)).ok_or_else(|| format!("r{node} is down"))?;
        let operation = |entry: &log::Entry| match &entry.request {
            Request::Operation { payload, .. } => {
                Some(format!("{}@{}", String::from_utf8_lossy(payload), entry.stamp.ballot.view))
            }
            Request::Register { .. } | Request::Resume { .. } | Request::Checkpoint { .. } => None,
        };
        let entries: Vec<String> = replica.probe().log.iter_above(OpNumber::ZERO).filter_map(operation).collect();
        Ok(if entries.is_empty() { "nothing".into() } else { entries.join(" ") })
    }
}

impl Parcel {
    /// From, to and text.
    fn describe(&self) -> (String, String, String) {
        match self {
            Self::ToReplica(to, message) => (message.header.from.to_string(), to.to_string(), message.to_string()),
            Self::ToClient(reply) => {
                let text = format!("{} {}", reply_name(&reply.body), reply.header.view);
                (reply.header.from.to_string(), "client".into(), text + &reply_content(&reply.body))
            }
        }
    }
}

fn reply_name(reply: &ClientReply) -> &'static str {
    match reply {
        ClientReply::Reply { .. } => "REPLY",
        ClientReply::Registered { .. } => "REGISTERED",
        ClientReply::Resumed { .. } => "RESUMED",
        ClientReply::CheckpointTaken { .. } => "CHECKPOINTTAKEN",
        ClientReply::Redirect { .. } => "REDIRECT",
        ClientReply::Busy { .. } => "BUSY",
        ClientReply::Refused { .. } => "REFUSED",
        ClientReply::NoSession { .. } => "NOSESSION",
        ClientReply::NotServing { .. } => "NOTSERVING",
    }
}

fn reply_content(reply: &ClientReply) -> String {
    match reply {
        ClientReply::Reply { result, .. } => format!(" {}", String::from_utf8_lossy(result)),
        ClientReply::Registered { session, .. }
        | ClientReply::Resumed { session, .. }
        | ClientReply::NoSession { session } => format!(" {session}"),
        ClientReply::CheckpointTaken { op } => format!(" {op}"),
        ClientReply::Redirect { primary } => format!(" {primary}"),
        ClientReply::Busy { reason, .. } => format!(" {reason:?}"),
        ClientReply::Refused { reason, .. } => format!(" {reason:?}"),
        ClientReply::NotServing { reason } => format!(" {reason:?}"),
    }
}

/// Separates the message from what becomes of it.
fn split_fate<'a, 'b>(words: &'b [&'a str]) -> (&'b [&'a str], Fate<'a>) {
    match words {
        [message @ .., "lost"] => (message, Fate::IsLost),
        [message @ .., "twice"] => (message, Fate::ArrivesTwice),
        [message @ .., "late", label] => (message, Fate::IsLate(label.trim_matches(['(', ')']))),
        [message @ .., "copied", label] => (message, Fate::IsCopied(label.trim_matches(['(', ')']))),
        message => (message, Fate::Arrives),
    }
}

/// Whether `text` begins with these fields, and not in the middle of one.
fn begins_with(text: &str, fields: &str) -> bool {
    text.strip_prefix(fields).is_some_and(|rest| rest.is_empty() || rest.starts_with(' '))
}

fn number(word: &str, prefix: char) -> Result<u64, String> {
    let digits = word.strip_prefix(prefix).and_then(|digits| digits.parse().ok());
    digits.ok_or_else(|| format!("`{word}` is not {prefix} and a number"))
}

fn duration(count: &str, unit: &str) -> Result<Duration, String> {
    let count: u64 = count.parse().map_err(|_| format!("`{count}` is no number"))?;
    Ok(if unit == "s" { ms(1_000 * count) } else { ms(count) })
}
