use super::*;
use crate::pages::CheckpointFiles;
use crate::pages::tests::{Numbers, Replica, checkpoint};

const CLUSTER: ClusterId = ClusterId(0x0123_4567_89ab_cdef_0011_2233_4455_6677);

fn backup(checkpoint: &CheckpointFiles) -> Vec<u8> {
    let mut bytes = Vec::new();
    assert_eq!(write(checkpoint, CLUSTER, &mut bytes).unwrap(), bytes.len() as u64);
    bytes
}

#[test]
fn what_was_saved_is_restored() {
    for seed in 0..20 {
        let checkpoint = Replica::new(seed).checkpoint(seed * 30);
        let Restored { cluster, id, header, service, client_table } = read(&backup(&checkpoint)[..]).unwrap();
        assert_eq!((cluster, id, &header), (CLUSTER, checkpoint.id, &checkpoint.header));
        assert!(service.range(..).eq(checkpoint.service.range(..)));
        assert!(client_table.range(..).eq(checkpoint.client_table.range(..)));
        assert_eq!((service.root(), client_table.root()), (checkpoint.service.root(), checkpoint.client_table.root()));
    }
}

#[test]
fn what_a_backup_holds_is_told_without_restoring_it() {
    let checkpoint = Replica::new(1).checkpoint(300);
    let bytes = backup(&checkpoint);
    let found = inspect(&bytes[..]).unwrap();
    assert_eq!((found.cluster, found.id, &found.header), (CLUSTER, checkpoint.id, &checkpoint.header));
    assert_eq!(found.service_keys, checkpoint.service.len() as u64);
    assert_eq!(found.service_bytes, checkpoint.service.bytes());
    assert_eq!(found.client_table_keys, checkpoint.client_table.len() as u64);
    assert!(found.parts > 10);
    assert_eq!(found.bytes, bytes.len() as u64);
}

#[test]
fn equal_long_values_are_saved_once() {
    let value = vec![5; 3000];
    let state: State = (0..50u8).map(|key| (vec![key], value.clone())).collect();
    let bytes = backup(&checkpoint(1, vec![], &state, &state));
    assert!(bytes.len() < 12_000, "{} bytes", bytes.len());
    assert_eq!(read(&bytes[..]).unwrap().client_table, state);
}

#[test]
fn a_backup_with_a_flipped_bit_is_refused() {
    let bytes = backup(&Replica::new(2).checkpoint(200));
    let mut numbers = Numbers(3);
    let places = (0..300 * 8).chain((0..3_000).map(|_| numbers.below(bytes.len() as u64 * 8) as usize));
    for bit in places {
        let mut damaged = bytes.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        let error = read(&damaged[..]).expect_err("a bit is flipped");
        assert!(!error.to_string().is_empty());
        inspect(&damaged[..]).expect_err("a bit is flipped");
    }
}

#[test]
fn a_backup_cut_or_continued_is_refused() {
    let bytes = backup(&Replica::new(4).checkpoint(60));
    for length in 0..bytes.len() {
        match read(&bytes[..length]).expect_err("it is cut") {
            BackupError::NotABackup => assert!(length < MAGIC.len()),
            BackupError::Cut { bytes } => assert_eq!(bytes, length as u64),
            error => panic!("{length}: {error}"),
        }
        inspect(&bytes[..length]).expect_err("it is cut");
    }
    let longer = [&bytes[..], &[0]].concat();
    assert!(matches!(read(&longer[..]), Err(BackupError::Damaged { .. })));
    assert!(matches!(inspect(&longer[..]), Err(BackupError::Damaged { .. })));
}

#[test]
fn a_backup_of_a_later_release_is_told_from_something_else() {
    let mut bytes = backup(&Replica::new(5).checkpoint(5));
    bytes[8] = 2;
    assert!(matches!(read(&bytes[..]), Err(BackupError::Newer { version: 2 })));
    assert!(matches!(read(&b"#!/bin/sh\necho hello, world\n"[..]), Err(BackupError::NotABackup)));
}

/// Later releases must read what this release writes: docs/formats.md.
#[test]
fn the_bytes_are_those_of_the_documented_format() {
    let (mut service, mut client_table) = (State::default(), State::default());
    service.put(b"key", &[7; 2000]);
    client_table.put(b"a", b"b");
    let bytes = backup(&checkpoint(9, b"header".to_vec(), &service, &client_table));
    assert_eq!(bytes[..16], *b"VRBACKUP\x01\0\0\0\x06\0\0\0");
    assert_eq!(bytes[16..32], CLUSTER.0.to_le_bytes());
    assert_eq!(bytes[32..40], 9u64.to_le_bytes());
    assert_eq!(bytes[40..72], *blake3::hash(b"header").as_bytes());
    assert_eq!(blake3::hash(&bytes[72..153]).as_bytes(), &service.root().0);
    assert_eq!(blake3::hash(&bytes[153..234]).as_bytes(), &client_table.root().0);
    assert_eq!(bytes[234..246], *b"\0\0\0\0\0\0header");
    assert_eq!(bytes[246..250], crc32c::crc32c(&bytes[..246]).to_le_bytes());
    // A page of 5 bytes, a key with its length, and for the value a mark, its length and its hash.
    assert_eq!(bytes[250..259], *b"\x01\x34\0\0\0\0\0\0\0");
    assert_eq!(bytes[311..320], *b"\x02\xd0\x07\0\0\0\0\0\0");
    assert_eq!(bytes[320..2320], [7; 2000]);
    assert_eq!(bytes[2320..2329], *b"\x01\x0b\0\0\0\0\0\0\0");
    assert_eq!(bytes[2340..2349], *b"\x00\x25\x09\0\0\0\0\0\0");
    assert_eq!(bytes[2349..], *blake3::hash(&bytes[..2349]).as_bytes());
}
