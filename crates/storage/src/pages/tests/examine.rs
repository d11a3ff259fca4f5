//! Listing and verifying.

use super::*;

fn saved() -> (SimulatedDisk, Vec<CheckpointFiles>) {
    let (disk, mut replica) = (SimulatedDisk::new(), Replica::new(30));
    let (mut pages, _) = open(&disk);
    let checkpoints: Vec<CheckpointFiles> = (0..4).map(|_| replica.checkpoint(60)).collect();
    for checkpoint in &checkpoints {
        save(&mut pages, checkpoint, 1 << 20).unwrap();
    }
    (disk, checkpoints)
}

#[test]
fn the_file_tells_its_two_newest_checkpoints() {
    let (disk, checkpoints) = saved();
    let listing = list(&disk).unwrap();
    assert_eq!((listing.cluster, listing.verdict), (Some(CLUSTER), Verdict::Sound));
    for (listed, expected) in listing.checkpoints.iter().zip([&checkpoints[3], &checkpoints[2]]) {
        assert_eq!((listed.id, listed.journal), (expected.id, journal(expected)));
        assert_eq!(listed.header, Ok(expected.header.clone()));
        assert_eq!(listed.service_keys, expected.service.len() as u64);
        assert_eq!(listed.service_bytes, expected.service.bytes());
        assert_eq!(listed.client_table_keys, expected.client_table.len() as u64);
    }
    assert_eq!((listing.checkpoints[0].generation, listing.checkpoints[1].generation), (4, 3));
}

#[test]
fn verifying_reads_everything_and_says_how_far_it_is() {
    let (disk, checkpoints) = saved();
    let mut reports = Vec::new();
    let verified = verify(&disk, |progress| reports.push(progress)).unwrap();
    let newest = &checkpoints[3];
    assert_eq!(verified.id, Some(newest.id));
    assert!(verified.damages.is_empty() && !verified.is_outdated);
    assert_eq!(verified.pages, newest.service.pages().count() as u64 + newest.client_table.pages().count() as u64);
    let fields: std::collections::BTreeSet<_> =
        newest.service.pages().flat_map(|page| page.fields()).map(|field| field.hash).collect();
    assert_eq!(verified.fields, fields.len() as u64);
    assert!(reports.is_sorted_by_key(|progress| progress.keys) && reports.len() as u64 == verified.pages);
    let keys = (newest.service.len() + newest.client_table.len()) as u64;
    assert_eq!(reports.last(), Some(&Verifying { keys, keys_total: keys }));
}

#[test]
fn every_damage_is_found_and_named() {
    let (disk, _) = saved();
    let sound = verify(&disk, |_| {}).unwrap();
    let bytes = disk.content(PAGES).unwrap();
    let mut damaged = 0;
    for unit in 32..bytes.len() as u64 / 512 {
        disk.flip_bit(PAGES, unit * 512 * 8 + 4000);
        let verified = verify(&disk, |_| {}).unwrap();
        let is_loaded = open(&disk).1.verdict == Verdict::Sound;
        assert_eq!(verified.damages.is_empty(), is_loaded, "unit {unit}");
        assert!(verified.damages.len() <= 1, "one bit is one damage: {:?}", verified.damages);
        damaged += u64::from(!is_loaded) * 512;
        disk.flip_bit(PAGES, unit * 512 * 8 + 4000);
    }
    assert!(damaged >= sound.bytes, "every byte of the checkpoint was damaged once");
    damage_two(&disk, &bytes);
}

/// Verifying goes on behind a damage.
fn damage_two(disk: &SimulatedDisk, bytes: &[u8]) {
    let is_damaging = |unit: &u64| {
        disk.flip_bit(PAGES, unit * 512 * 8);
        let verified = verify(disk, |_| {}).unwrap();
        disk.flip_bit(PAGES, unit * 512 * 8);
        verified.damages.iter().any(|damage| matches!(damage, Damage::Record { .. })) && verified.pages > 3
    };
    let units: Vec<u64> = (32..bytes.len() as u64 / 512).filter(is_damaging).take(2).collect();
    units.iter().for_each(|unit| disk.flip_bit(PAGES, unit * 512 * 8));
    assert_eq!(verify(disk, |_| {}).unwrap().damages.len(), 2);
}

#[test]
fn an_empty_file_holds_nothing_and_a_missing_one_is_an_error() {
    let disk = SimulatedDisk::new();
    assert!(list(&disk).is_err() && verify(&disk, |_| {}).is_err());
    open(&disk);
    let listing = list(&disk).unwrap();
    assert!(listing.checkpoints.is_empty() && listing.verdict == Verdict::Empty);
    assert_eq!(verify(&disk, |_| {}).unwrap().id, None);
}
