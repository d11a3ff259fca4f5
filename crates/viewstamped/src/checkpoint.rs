//! A checkpoint here and now (5.1), whatever the interval is.

use std::time::Duration;

use viewstamped_protocol::codec::Frame;
use viewstamped_protocol::message::{ClientReply, ClientRequest};
use viewstamped_protocol::{ClientId, ClusterId, EpochNumber, FromClient, OpNumber};

use crate::client::introduction;
use crate::error::StatusError;
use crate::status::{exchange, stranger};

/// Has the group take a checkpoint; `endpoint` is the client address of its primary. Returns its op-number when the primary has
/// executed that operation: its root is hashed after that, and then shown by its status. `client` is an id that was never used
/// before. Asked again after an error, there may be two.
///
/// # Errors
/// When nobody answers there within `timeout`, or the replica there is not the primary, or does not serve.
pub async fn take_checkpoint(
    endpoint: &str,
    cluster: ClusterId,
    epoch: EpochNumber,
    client: ClientId,
    timeout: Duration,
) -> Result<OpNumber, StatusError> {
    let request = FromClient { cluster, epoch, client, body: ClientRequest::TakeCheckpoint };
    let question = [Frame::Hello(introduction()), Frame::FromClient(request)];
    let answer = tokio::time::timeout(timeout, exchange(endpoint, &question)).await;
    let declined = |reason: String| StatusError::Declined { endpoint: endpoint.to_owned(), reason };
    match answer.unwrap_or_else(|_| Err(StatusError::TimedOut { endpoint: endpoint.to_owned() }))? {
        Frame::ToClient(message) => match message.body {
            ClientReply::CheckpointTaken { op } => Ok(op),
            ClientReply::Redirect { primary } => Err(declined(format!("replica {} is the primary", primary.0))),
            ClientReply::Busy { .. } => Err(declined("it has too much to do".to_owned())),
            ClientReply::NotServing { .. } => Err(declined("the group does not serve".to_owned())),
            other => Err(stranger(endpoint, format!("{other:?}"))),
        },
        _ => Err(stranger(endpoint, "it is another kind of message")),
    }
}
