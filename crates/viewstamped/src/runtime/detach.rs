//! Copies small operations out of the buffer they were received in: the log keeps them for long, and must not keep with each
//! of them a buffer many times its size.

use bytes::Bytes;
use viewstamped_protocol::log::Request;
use viewstamped_protocol::message::{Body, ClientRequest};
use viewstamped_protocol::{FromClient, Message};

/// Above this many bytes a payload, or a frame full of them, fills a good part of its buffer by itself.
const SMALL_BYTES: usize = 16 << 10;

/// Detaches the operation that a client has sent.
pub(crate) fn detach_request(message: &mut FromClient) {
    if let ClientRequest::Operation { payload, .. } = &mut message.body {
        detach(payload);
    }
}

/// Detaches what a service may keep: the operations in a PREPARE, which came in a frame of `frame_bytes`, and a prediction.
pub(crate) fn detach_message(message: &mut Message, frame_bytes: usize) {
    let prepare = match &mut message.body {
        Body::Prepare(prepare) if frame_bytes <= SMALL_BYTES => prepare,
        Body::PredictOk(answer) => return detach(&mut answer.value),
        _ => return,
    };
    for entry in &mut prepare.entries {
        if let Request::Operation { payload, predicted, .. } = &mut entry.request {
            detach(payload);
            detach(predicted);
        }
    }
}

fn detach(bytes: &mut Bytes) {
    if bytes.len() <= SMALL_BYTES {
        *bytes = Bytes::copy_from_slice(bytes);
    }
}
