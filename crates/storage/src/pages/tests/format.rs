//! The bytes, as docs/formats.md has them. Later releases must read what this release writes.

use super::*;

fn number(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap())
}

/// A file with one checkpoint of two small trees.
fn file() -> (Vec<u8>, CheckpointFiles) {
    let (mut service, mut client_table) = (State::default(), State::default());
    service.put(b"key", &[7; 2000]);
    client_table.put(b"a", b"b");
    let disk = SimulatedDisk::new();
    let checkpoint = checkpoint(9, b"header".to_vec(), &service, &client_table);
    save(&mut open(&disk).0, &checkpoint, 1 << 20).unwrap();
    (disk.content(PAGES).unwrap(), checkpoint)
}

#[test]
fn a_superblock_has_the_documented_bytes() {
    let (bytes, checkpoint) = file();
    for copy in [16, 24] {
        let sector = &bytes[copy * 512..][..512];
        assert_eq!(sector[..12], *b"VRPAGES\n\x01\0\0\0");
        let mut unsealed = sector.to_vec();
        unsealed[12..16].fill(0);
        assert_eq!(sector[12..16], crc32c::crc32c(&unsealed).to_le_bytes());
        assert_eq!(number(sector, 16), copy as u64);
        assert_eq!(sector[24..40], CLUSTER.0.to_le_bytes());
        assert_eq!((number(sector, 40), number(sector, 48)), (1, 9), "generation, op-number");
        assert_eq!(sector[56..88], checkpoint.id.root);
        assert_eq!((number(sector, 88), number(sector, 96)), (27, 10), "journal sequence and sector");
        assert_eq!(number(sector, 104), 38 | 1 << 40, "the header");
        assert_eq!(number(sector, 112), 36 | 1 << 40, "the root page of the service state");
        assert_eq!(blake3::hash(&sector[120..201]).as_bytes(), &checkpoint.service.root().0);
        assert_eq!(number(sector, 201), 37 | 1 << 40, "the root page of the client-table");
        assert_eq!(blake3::hash(&sector[209..290]).as_bytes(), &checkpoint.client_table.root().0);
        assert_eq!(sector[290..], [0; 222]);
    }
    for copy in [0, 8] {
        let sector = &bytes[copy * 512..][..512];
        assert_eq!((number(sector, 40), &sector[48..]), (0, &[0; 464][..]), "a superblock that names no checkpoint");
    }
}

#[test]
fn a_record_has_the_documented_bytes() {
    let (bytes, checkpoint) = file();
    assert_eq!(bytes.len(), 39 * 512);
    let records = [(32, 4, 2, 0, 2000), (36, 1, 1, 1, 52), (37, 1, 1, 0, 11), (38, 1, 3, 0, 6)];
    for (unit, units, kind, places, content) in records {
        let record = &bytes[unit * 512..][..units * 512];
        assert_eq!(record[..4], crc32c::crc32c(&record[4..]).to_le_bytes());
        assert_eq!(record[4..8], [kind, 0, 0, 0]);
        assert_eq!(number(record, 8), (unit | units << 40) as u64, "its own place");
        assert_eq!((number(record, 16), number(record, 24)), (content, places));
        let end = 32 + (places * 8 + content) as usize;
        assert!(record[end..].iter().all(|byte| *byte == 0));
    }
    assert_eq!(number(&bytes, 36 * 512 + 32), 32 | 4 << 40, "the place of the long value");
    let mut encoding = Vec::new();
    checkpoint.service.root_page().encode(&mut encoding);
    assert_eq!(bytes[36 * 512 + 40..][..52], encoding);
    assert_eq!(bytes[38 * 512 + 32..][..6], *b"header");
}
