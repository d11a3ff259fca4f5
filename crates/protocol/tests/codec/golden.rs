//! Frames written down byte by byte: the format cannot change without someone noticing. What changes here needs a new version.

use bytes::Bytes;
use viewstamped_protocol::codec::{Frame, Hello, Purpose, VERSION};
use viewstamped_protocol::log::{Entry, Request};
use viewstamped_protocol::message::{
    Body, ClientReply, ClientRequest, Header, Predict, PredictOk, Prepare, PrepareOk, QuorumCheckpoint, RequestId,
};
use viewstamped_protocol::*;

use crate::{decoded, encoded};

const HEADER: Header = Header {
    cluster: ClusterId(0xc1),
    epoch: EpochNumber(0xe),
    view: ViewNumber(3),
    from: NodeId(2),
    incarnation: Incarnation(5),
};

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn assert_golden(frame: &Frame, golden: &[&str]) {
    let golden = golden.concat();
    assert_eq!(hex(&encoded(frame)), golden);
    let bytes: Vec<u8> =
        (0..golden.len()).step_by(2).map(|at| u8::from_str_radix(&golden[at..at + 2], 16).unwrap()).collect();
    assert_eq!(decoded(&bytes).as_ref(), Ok(&Some(frame.clone())));
}

#[test]
fn hello() {
    let hello = Hello {
        cluster: ClusterId(0xc1),
        node: Some(NodeId(2)),
        incarnation: Incarnation(5),
        purpose: Purpose::Bulk,
        version: VERSION,
        process: 0x77,
        durability: Some(Durability::Synchronous),
    };
    assert_golden(
        &Frame::Hello(hello),
        &[
            "f6565252",                         // magic
            "0100",                             // version
            "0100",                             // kind
            "0d000000",                         // length of the body
            "6a9ba71b",                         // checksum
            "c1000000000000000000000000000000", // cluster
            "0000000000000000",                 // epoch
            "0000000000000000",                 // view
            "0200000000000000",                 // node
            "0500000000000000",                 // incarnation
            "0100",                             // newest version
            "02",                               // purpose: bulk
            "01",                               // sent by a replica
            "7700000000000000",                 // process
            "03",                               // durability: synchronous
        ],
    );
}

#[test]
fn prepare_ok() {
    let body =
        Body::PrepareOk(PrepareOk { op: OpNumber(12), head: ChainHash(0xd0), checkpoint: CheckpointId::default() });
    assert_golden(
        &Frame::Replica(Message { header: HEADER, body }),
        &[
            "f6565252",                         // magic
            "0100",                             // version
            "0203",                             // kind
            "40000000",                         // length of the body
            "e1bc3432",                         // checksum
            "c1000000000000000000000000000000", // cluster
            "0e00000000000000",                 // epoch
            "0300000000000000",                 // view
            "0200000000000000",                 // node
            "0500000000000000",                 // incarnation
            "0c00000000000000",                 // op-number
            "d0000000000000000000000000000000", // chain hash
            "0000000000000000",                 // op-number of the checkpoint
            "00000000000000000000000000000000", // root of the checkpoint
            "00000000000000000000000000000000",
        ],
    );
}

#[test]
fn prepare() {
    let request = Request::Operation {
        client: ClientId(0xabcd),
        session: SessionNumber(8),
        slot: 4,
        number: RequestNumber(7),
        predicted: Bytes::from_static(b"p"),
        payload: Bytes::from_static(b"payload"),
    };
    let ballot = Ballot { epoch: EpochNumber(0xe), view: ViewNumber(2) };
    let stamp = Viewstamp { ballot, op: OpNumber(12) };
    let entry = Entry::new(ChainHash(0x1234), stamp, Timestamp(99), request);
    let body = Body::Prepare(Prepare {
        previous: ChainHash(0x1234),
        entries: vec![entry],
        commit: OpNumber(11),
        checkpoint: QuorumCheckpoint::default(),
    });
    assert_golden(
        &Frame::Replica(Message { header: HEADER, body }),
        &[
            "f6565252",                         // magic
            "0100",                             // version
            "0103",                             // kind
            "b1000000",                         // length of the body
            "3abbeb52",                         // checksum
            "c1000000000000000000000000000000", // cluster
            "0e00000000000000",                 // epoch
            "0300000000000000",                 // view
            "0200000000000000",                 // node
            "0500000000000000",                 // incarnation
            "0b00000000000000",                 // commit-number
            "0000000000000000",                 // op-number of a quorum's checkpoint
            "0000000000000000",                 // op-number of the checkpoint agreed on
            "00000000000000000000000000000000", // root of the checkpoint agreed on
            "00000000000000000000000000000000",
            "0b00000000000000",                 // op-number below the entries
            "34120000000000000000000000000000", // chain hash below the entries
            "c999d7b540338eaf466c49fd1336ed1e", // chain hash of the last entry
            "01000000",                         // entries
            "0e00000000000000",                 // epoch
            "0200000000000000",                 // view
            "6300000000000000",                 // timestamp
            "cdab0000000000000000000000000000", // client
            "01",                               // an operation
            "0800000000000000",                 // session
            "0700000000000000",                 // request-number
            "04000000",                         // slot
            "01000000",                         // length of the predicted value
            "07000000",                         // length of the operation
            "70",                               // predicted value
            "7061796c6f6164",                   // operation
        ],
    );
}

const REQUEST_ID: RequestId =
    RequestId { client: ClientId(0xabcd), session: SessionNumber(8), slot: 4, number: RequestNumber(7) };

#[test]
fn predict() {
    let body = Body::Predict(Box::new(Predict { request: REQUEST_ID, payload: Bytes::from_static(b"payload") }));
    assert_golden(
        &Frame::Replica(Message { header: HEADER, body }),
        &[
            "f6565252",                         // magic
            "0100",                             // version
            "1803",                             // kind
            "2b000000",                         // length of the body
            "f558f392",                         // checksum
            "c1000000000000000000000000000000", // cluster
            "0e00000000000000",                 // epoch
            "0300000000000000",                 // view
            "0200000000000000",                 // node
            "0500000000000000",                 // incarnation
            "cdab0000000000000000000000000000", // client
            "0800000000000000",                 // session
            "0700000000000000",                 // request-number
            "04000000",                         // slot
            "7061796c6f6164",                   // operation
        ],
    );
}

#[test]
fn predict_ok() {
    let body = Body::PredictOk(Box::new(PredictOk { request: REQUEST_ID, value: Bytes::from_static(b"p") }));
    assert_golden(
        &Frame::Replica(Message { header: HEADER, body }),
        &[
            "f6565252",                         // magic
            "0100",                             // version
            "1903",                             // kind
            "25000000",                         // length of the body
            "dd4dfc39",                         // checksum
            "c1000000000000000000000000000000", // cluster
            "0e00000000000000",                 // epoch
            "0300000000000000",                 // view
            "0200000000000000",                 // node
            "0500000000000000",                 // incarnation
            "cdab0000000000000000000000000000", // client
            "0800000000000000",                 // session
            "0700000000000000",                 // request-number
            "04000000",                         // slot
            "70",                               // value
        ],
    );
}

#[test]
fn request() {
    let body = ClientRequest::Operation {
        session: SessionNumber(8),
        slot: 4,
        number: RequestNumber(7),
        payload: Bytes::from_static(b"payload"),
    };
    let message = FromClient { cluster: ClusterId(0xc1), epoch: EpochNumber(0xe), client: ClientId(0xabcd), body };
    assert_golden(
        &Frame::FromClient(message),
        &[
            "f6565252",                         // magic
            "0100",                             // version
            "0101",                             // kind
            "1b000000",                         // length of the body
            "ee9d7a46",                         // checksum
            "c1000000000000000000000000000000", // cluster
            "0e00000000000000",                 // epoch
            "0000000000000000",                 // view
            "cdab0000000000000000000000000000", // client
            "0800000000000000",                 // session
            "0700000000000000",                 // request-number
            "04000000",                         // slot
            "7061796c6f6164",                   // operation
        ],
    );
}

#[test]
fn reply() {
    let body = ClientReply::Reply {
        session: SessionNumber(8),
        slot: 4,
        number: RequestNumber(7),
        op: OpNumber(12),
        result: Bytes::from_static(b"result"),
    };
    assert_golden(
        &Frame::ToClient(ToClient { header: HEADER, client: ClientId(0xabcd), body }),
        &[
            "f6565252",                         // magic
            "0100",                             // version
            "0102",                             // kind
            "32000000",                         // length of the body
            "0f8735f3",                         // checksum
            "c1000000000000000000000000000000", // cluster
            "0e00000000000000",                 // epoch
            "0300000000000000",                 // view
            "0200000000000000",                 // node
            "0500000000000000",                 // incarnation
            "cdab0000000000000000000000000000", // client
            "0800000000000000",                 // session
            "0700000000000000",                 // request-number
            "04000000",                         // slot
            "0c00000000000000",                 // op-number
            "726573756c74",                     // result
        ],
    );
}
