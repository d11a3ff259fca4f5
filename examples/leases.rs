//! Leases that expire: a service that needs the time of day, on three replicas.
//!
//! The clock is `Operation::timestamp`, and nothing else. It is the wall clock of the primary that ordered the operation, or one
//! nanosecond more than the timestamp before if that clock was behind; it is stored in the log with the operation. So all
//! replicas see the same time, and it never runs backwards, not even when the next primary's clock is slow: a lease that has
//! expired once has expired for ever. A primary whose clock is fast ends leases early; let them last longer than clocks err.
//! A service that read `SystemTime::now()` in `execute` would decide differently at each replica.

use std::time::Duration;

use viewstamped::{Bytes, Client, Cluster, Operation, Service, State};

/// Grants each name to one holder at a time. A request is `NAME HOLDER MILLISECONDS`; the holder renews by asking again.
struct Leases;

impl Service for Leases {
    fn execute(&mut self, state: &mut State, operation: Operation<'_>) -> Bytes {
        let Some((name, holder, duration)) = parse(operation.payload) else { return "not a request".into() };
        let now = operation.timestamp.0;
        if let Some((other, end)) = state.get(name.as_bytes()).and_then(lease)
            && other != holder
            && end > now
        {
            return format!("held by {other} for {:?}", Duration::from_nanos(end - now)).into();
        }
        let end = now.saturating_add(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX));
        let lease = [&end.to_be_bytes()[..], holder.as_bytes()].concat();
        state.insert(name.as_bytes().to_vec(), lease);
        "granted".into()
    }

    fn validate(&self, payload: &[u8]) -> Result<(), String> {
        parse(payload).map(drop).ok_or_else(|| "a request is NAME HOLDER MILLISECONDS".to_owned())
    }
}

fn parse(request: &[u8]) -> Option<(&str, &str, Duration)> {
    let mut words = std::str::from_utf8(request).ok()?.split(' ');
    let (name, holder, milliseconds) = (words.next()?, words.next()?, words.next()?);
    Some((name, holder, Duration::from_millis(milliseconds.parse().ok()?)))
}

/// The holder, and when its lease ends.
fn lease(stored: &[u8]) -> Option<(&str, u64)> {
    let (end, holder) = stored.split_first_chunk()?;
    Some((std::str::from_utf8(holder).ok()?, u64::from_be_bytes(*end)))
}

async fn ask(client: &Client, request: &'static str) -> Result<Bytes, Box<dyn std::error::Error>> {
    let answer = client.execute(request).await?.result;
    println!("{request}: {}", String::from_utf8_lossy(&answer));
    Ok(answer)
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut cluster = Cluster::start_local(3, || Leases)?;
    let client = cluster.client()?;
    ask(&client, "printer alice 3000").await?;
    ask(&client, "printer bob 3000").await?;

    let primary = cluster.primary(Duration::from_secs(10)).await.ok_or("no primary")?;
    cluster.kill(primary);
    println!("killed replica {primary}, the primary: the lease goes on at the next one");
    while ask(&client, "printer bob 3000").await? != "granted" {
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use viewstamped::{ClientId, OpNumber, Timestamp};

    #[test]
    fn a_lease_ends_when_the_replicated_clock_says_so() {
        let (mut state, mut op) = (State::default(), OpNumber::ZERO);
        let mut ask = |request: &'static str, milliseconds: u64| {
            op = op.next();
            let (payload, predicted) = (Bytes::from(request), Bytes::new());
            let (timestamp, client) = (Timestamp(milliseconds * 1_000_000), ClientId(1));
            let operation = Operation { op, timestamp, client, payload: &payload, predicted: &predicted };
            Leases.execute(&mut state, operation)
        };
        assert_eq!(ask("printer alice 100", 1_000), "granted");
        assert_eq!(ask("printer bob 100", 1_099), "held by alice for 1ms");
        assert_eq!(ask("printer alice 100", 1_099), "granted", "renewed");
        assert_eq!(ask("printer bob 100", 1_198), "held by alice for 1ms");
        assert_eq!(ask("scanner bob 100", 1_198), "granted");
        assert_eq!(ask("printer bob 100", 1_199), "granted", "expired");
    }

    #[tokio::test]
    async fn a_lease_outlives_the_primary_that_granted_it() {
        let mut cluster = Cluster::start_local(3, || Leases).unwrap();
        let client = cluster.client().unwrap();
        assert_eq!(ask(&client, "printer alice 600000").await.unwrap(), "granted");
        assert_eq!(ask(&client, "scanner alice 0").await.unwrap(), "granted");
        let primary = cluster.primary(Duration::from_secs(30)).await.unwrap();
        cluster.kill(primary);
        let answer = ask(&client, "printer bob 1").await.unwrap();
        assert!(answer.starts_with(b"held by alice for "), "{answer:?}");
        assert_eq!(ask(&client, "scanner bob 1").await.unwrap(), "granted", "the clock went on");
    }
}
