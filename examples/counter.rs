//! A counter on three replicas: it survives the death of any one of them.

use viewstamped::{Bytes, Cluster, Operation, Service, State};

struct Counter;

impl Service for Counter {
    fn execute(&mut self, state: &mut State, operation: Operation<'_>) -> Bytes {
        let count = state.get(b"count").map_or(0, |bytes| u64::from_le_bytes(bytes.try_into().unwrap()));
        let count = count + u64::from(operation.payload[0]);
        state.insert(&b"count"[..], count.to_le_bytes().to_vec());
        Bytes::from(count.to_string())
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut cluster = Cluster::start_local(3, || Counter)?;
    let client = cluster.client()?;

    let reply = client.execute(vec![5]).await?;
    println!("after adding 5: {:?} (operation {})", reply.result, reply.op.0);

    let primary = cluster.primary(std::time::Duration::from_secs(10)).await.ok_or("no primary")?;
    cluster.kill(primary);
    println!("killed replica {primary}, the primary");

    let reply = client.execute(vec![7]).await?;
    println!("after adding 7: {:?} (operation {})", reply.result, reply.op.0);

    cluster.restart(primary, Counter)?;
    println!("restarted it: it recovers its state from the others");
    Ok(())
}
