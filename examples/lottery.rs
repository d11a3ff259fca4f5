//! A lottery on three replicas: the random number comes from several of them.
//!
//! Before a draw is ordered, the primary asks the backups for their random numbers, and combines those of f + 1 replicas (4.4): the
//! number is random as long as one of them has a good random source. It is stored in the log with the request, so every
//! replica draws the same winner, whoever is primary when the draw is executed.

use std::time::Duration;

use viewstamped::{Bytes, Client, Cluster, Contributions, Operation, Service, State, Timestamp};

const DRAW: &[u8] = b"draw";
/// Where the last winner is kept; no player has an empty name.
const WINNER: &[u8] = b"";

/// `draw` draws one of the players, `winner` names the last one drawn; any other request is the name of a player who joins.
struct Lottery;

impl Service for Lottery {
    fn execute(&mut self, state: &mut State, operation: Operation<'_>) -> Bytes {
        match &operation.payload[..] {
            DRAW => draw(state, operation.predicted),
            b"winner" => state.get(WINNER).map_or("nobody yet".into(), Bytes::copy_from_slice),
            player => {
                state.insert(player.to_vec(), Bytes::new());
                "joined".into()
            }
        }
    }

    fn validate(&self, payload: &[u8]) -> Result<(), String> {
        if payload.is_empty() { Err("a player has a name".to_owned()) } else { Ok(()) }
    }

    fn asks_backups(&self, payload: &[u8]) -> bool {
        payload == DRAW
    }

    /// Each replica's part in a draw.
    fn predict(&mut self, payload: &[u8], _wall: Timestamp, seed: u64) -> Bytes {
        if payload == DRAW { seed.to_be_bytes().to_vec().into() } else { Bytes::new() }
    }

    /// All parts count, so that nobody alone decides. Too few of them make no number: then there is no draw.
    fn combine(&self, _payload: &[u8], contributions: Contributions<'_>) -> Bytes {
        if !contributions.is_complete() {
            return Bytes::new();
        }
        let parts = contributions.values.iter().filter_map(|part| number(part));
        parts.fold(0, |all, part| all ^ part).to_be_bytes().to_vec().into()
    }
}

fn draw(state: &mut State, predicted: &[u8]) -> Bytes {
    let Some(number) = number(predicted) else { return "too few replicas took part; draw again".into() };
    let players: Vec<&[u8]> = state.range(..).map(|(name, _)| name).filter(|name| *name != WINNER).collect();
    if players.is_empty() {
        return "nobody plays".into();
    }
    let place = number % players.len() as u64;
    let winner = Bytes::copy_from_slice(players[usize::try_from(place).expect("below the length")]);
    state.insert(WINNER, winner.clone());
    winner
}

fn number(bytes: &[u8]) -> Option<u64> {
    bytes.try_into().ok().map(u64::from_be_bytes)
}

async fn ask(client: &Client, request: &'static str) -> Result<Bytes, Box<dyn std::error::Error>> {
    let answer = client.execute(request).await?.result;
    println!("{request}: {}", String::from_utf8_lossy(&answer));
    Ok(answer)
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut cluster = Cluster::start_local(3, || Lottery)?;
    let client = cluster.client()?;
    for player in ["alice", "bob", "carol"] {
        ask(&client, player).await?;
    }
    ask(&client, "draw").await?;

    let primary = cluster.primary(Duration::from_secs(10)).await.ok_or("no primary")?;
    cluster.kill(primary);
    println!("killed replica {primary}, the primary: the others know the winner");
    ask(&client, "winner").await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn combined(parts: &[u64], wanted: usize) -> Bytes {
        let values: Vec<Bytes> = parts.iter().map(|part| part.to_be_bytes().to_vec().into()).collect();
        Lottery.combine(DRAW, Contributions { values: &values, wanted })
    }

    #[test]
    fn every_part_decides_who_wins() {
        let mut state = State::default();
        for player in ["alice", "bob", "carol"] {
            state.insert(player, Bytes::new());
        }
        let winners = [[0, 0], [0, 1], [2, 0], [2, 1]].map(|parts| draw(&mut state, &combined(&parts, 2)));
        assert_eq!(winners, ["alice", "bob", "carol", "alice"]);
    }

    #[test]
    fn too_few_parts_draw_nobody() {
        let mut state = State::default();
        state.insert("alice", Bytes::new());
        assert_eq!(draw(&mut state, &combined(&[7], 2)), "too few replicas took part; draw again");
        assert_eq!(state.get(WINNER), None);
    }

    #[tokio::test]
    async fn the_group_draws_one_winner_who_stays_the_winner() {
        let mut cluster = Cluster::start_local(3, || Lottery).unwrap();
        let client = cluster.client().unwrap();
        for player in ["alice", "bob", "carol"] {
            assert_eq!(ask(&client, player).await.unwrap(), "joined");
        }
        let winner = loop {
            let winner = ask(&client, "draw").await.unwrap();
            // On a machine that is too busy for the backups to answer in time.
            if !winner.starts_with(b"too few") {
                break winner;
            }
        };
        assert!(["alice", "bob", "carol"].iter().any(|player| winner == *player), "{winner:?}");
        let primary = cluster.primary(Duration::from_secs(30)).await.unwrap();
        cluster.kill(primary);
        assert_eq!(ask(&client, "winner").await.unwrap(), winner);
        let again = ask(&client, "draw").await.unwrap();
        assert_ne!(again, "nobody plays", "two replicas are enough for f + 1 contributions");
    }
}
