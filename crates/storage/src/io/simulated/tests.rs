use super::*;

/// Chooses always the largest number: everything survives.
fn all(bound: u64) -> u64 {
    bound - 1
}

/// Chooses always the smallest number: only what was synced survives.
fn nothing(_: u64) -> u64 {
    0
}

/// A synced file `f` of four sectors of `a`.
fn disk() -> (SimulatedDisk, Box<dyn DiskFile>) {
    let disk = SimulatedDisk::new();
    let file = disk.create("f").unwrap();
    file.write_at(&[b'a'; 4 * SECTOR_BYTES], 0).unwrap();
    file.sync_all().unwrap();
    disk.sync_names().unwrap();
    (disk, file)
}

fn sectors(disk: &SimulatedDisk, name: &str) -> String {
    disk.content(name).unwrap().chunks(SECTOR_BYTES).map(|sector| char::from(sector[0])).collect()
}

#[test]
fn what_was_synced_survives_and_the_rest_may_be_lost() {
    let (disk, file) = disk();
    file.write_at(&[b'b'; 2 * SECTOR_BYTES], 0).unwrap();
    file.sync_data().unwrap();
    file.write_at(&[b'c'; 2 * SECTOR_BYTES], SECTOR_BYTES as u64).unwrap();
    assert_eq!(sectors(&disk, "f"), "bcca");
    let other = disk.fork();
    disk.cut_power(&mut nothing);
    assert_eq!(sectors(&disk, "f"), "bbaa");
    other.cut_power(&mut all);
    assert_eq!(sectors(&other, "f"), "bcca");
    assert!(file.length().is_err(), "the file was opened before the power cut");
}

#[test]
fn sectors_survive_in_any_order() {
    let (disk, file) = disk();
    file.write_at(&[b'b'; 4 * SECTOR_BYTES], 0).unwrap();
    file.write_at(&[b'c'; 4 * SECTOR_BYTES], 0).unwrap();
    let mut choices = [0, 1, 2, 0, 2].into_iter();
    disk.cut_power(&mut |_| choices.next().unwrap());
    assert_eq!(sectors(&disk, "f"), "bcac");
}

#[test]
fn a_new_length_survives_partly() {
    let (disk, file) = disk();
    file.write_at(&[b'b'; 2 * SECTOR_BYTES], 4 * SECTOR_BYTES as u64).unwrap();
    let mut choices = [0, 1, SECTOR_BYTES as u64 + 9, 0, 1].into_iter();
    disk.cut_power(&mut |_| choices.next().unwrap());
    let content = disk.content("f").unwrap();
    assert_eq!(content.len(), 5 * SECTOR_BYTES + 9);
    assert_eq!((content[4 * SECTOR_BYTES], content[5 * SECTOR_BYTES]), (0, b'b'));
    let file = disk.open("f").unwrap();
    file.set_length(3).unwrap();
    file.sync_all().unwrap();
    file.set_length(1000).unwrap();
    file.sync_all().unwrap();
    disk.cut_power(&mut nothing);
    assert_eq!(disk.content("f").unwrap(), [&[b'a'; 3][..], &[0; 997]].concat());
}

#[test]
fn names_are_durable_when_they_are_synced() {
    let (disk, _) = disk();
    let file = disk.create("g").unwrap();
    file.write_at(b"new", 0).unwrap();
    file.sync_all().unwrap();
    disk.rename("g", "f").unwrap();
    let (before, between, after) = (disk.fork(), disk.fork(), disk.fork());
    before.cut_power(&mut nothing);
    assert_eq!((sectors(&before, "f").as_str(), before.content("g")), ("aaaa", None));
    between.cut_power(&mut |bound| bound.min(2) - 1);
    assert_eq!((sectors(&between, "f").as_str(), sectors(&between, "g").as_str()), ("aaaa", "n"));
    after.sync_names().unwrap();
    after.cut_power(&mut nothing);
    assert_eq!((after.content("f").unwrap(), after.content("g")), (b"new".to_vec(), None));
    after.remove("f").unwrap();
    assert_eq!(after.open("f").unwrap_err().kind(), io::ErrorKind::NotFound);
    after.cut_power(&mut nothing);
    assert_eq!(after.content("f").unwrap(), b"new");
}

#[test]
fn a_failed_sync_drops_what_was_written_and_says_so_once() {
    let (disk, file) = disk();
    file.write_at(&[b'b'; 2 * SECTOR_BYTES], 0).unwrap();
    disk.fail_call(disk.calls(), Fault::Error);
    file.sync_data().unwrap_err();
    file.write_at(&[b'c'; SECTOR_BYTES], 0).unwrap();
    file.sync_data().expect("it reports once");
    assert_eq!(sectors(&disk, "f"), "cbaa", "the cache still has it");
    disk.cut_power(&mut nothing);
    assert_eq!(sectors(&disk, "f"), "caaa");
}

#[test]
fn writes_are_lost_or_misdirected_and_reported_as_done() {
    let (disk, file) = disk();
    disk.fail_call(disk.calls(), Fault::LostWrite);
    file.write_at(&[b'b'; SECTOR_BYTES], 0).unwrap();
    disk.fail_call(disk.calls(), Fault::MisdirectedWrite { by: SECTOR_BYTES as i64 });
    file.write_at(&[b'c'; SECTOR_BYTES], 2 * SECTOR_BYTES as u64).unwrap();
    file.sync_data().unwrap();
    assert_eq!(sectors(&disk, "f"), "bacc", "the cache has what was written");
    disk.cut_power(&mut all);
    assert_eq!(sectors(&disk, "f"), "aaac");
}

#[test]
fn an_unreadable_sector_can_be_written_again() {
    let (disk, file) = disk();
    disk.make_unreadable("f", SECTOR_BYTES as u64 + 9);
    let mut bytes = [0; 2 * SECTOR_BYTES];
    file.read_at(&mut bytes, 2 * SECTOR_BYTES as u64).unwrap();
    file.read_at(&mut bytes[..SECTOR_BYTES], 0).unwrap();
    file.read_at(&mut bytes, 0).unwrap_err();
    file.read_at(&mut bytes[..1], 2 * SECTOR_BYTES as u64 - 1).unwrap_err();
    file.write_at(&[b'b'; SECTOR_BYTES], SECTOR_BYTES as u64).unwrap();
    file.read_at(&mut bytes, 0).unwrap();
}

#[test]
fn a_full_disk_takes_what_fits_and_has_space_again() {
    let (disk, file) = disk();
    disk.set_space(Some(5 * SECTOR_BYTES as u64));
    file.write_at(&[b'b'; 4 * SECTOR_BYTES], 0).expect("what is there can be written again");
    let end = 4 * SECTOR_BYTES as u64;
    let error = file.write_at(&[b'c'; 2 * SECTOR_BYTES], end).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    assert_eq!(sectors(&disk, "f"), "bbbbc");
    assert_eq!(file.set_length(9999).unwrap_err().kind(), io::ErrorKind::StorageFull);
    disk.set_space(None);
    file.write_at(&[b'c'; 2 * SECTOR_BYTES], end).unwrap();
    disk.fail_call(disk.calls(), Fault::NoSpace);
    let error = file.write_at(&[b'd'; 2 * SECTOR_BYTES], 0).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    assert_eq!(sectors(&disk, "f"), "dbbbcc");
}

#[test]
fn without_power_every_call_fails() {
    let (disk, file) = disk();
    disk.fail_call(disk.calls(), Fault::PowerCut);
    file.write_at(&[b'b'; SECTOR_BYTES], 0).unwrap_err();
    assert!(file.sync_data().is_err() && file.read_at(&mut [0], 0).is_err() && disk.open("f").is_err());
    let other = disk.fork();
    disk.cut_power(&mut nothing);
    other.cut_power(&mut all);
    assert_eq!((sectors(&disk, "f").as_str(), sectors(&other, "f").as_str()), ("aaaa", "baaa"));
    let file = disk.open("f").unwrap();
    disk.fail_call(disk.calls() + 1, Fault::PowerCut);
    file.write_at(&[b'b'; SECTOR_BYTES], 0).unwrap();
    file.sync_data().unwrap_err();
    disk.cut_power(&mut nothing);
    assert_eq!(sectors(&disk, "f"), "aaaa", "the sync was not done");
}

#[test]
fn content_changes_behind_everybodys_back() {
    let (disk, file) = disk();
    disk.flip_bit("f", 8 * SECTOR_BYTES as u64 + 1);
    disk.flip_bit("f", 1 << 40);
    assert_eq!(sectors(&disk, "f"), "acaa");
    let mut byte = [0];
    file.read_at(&mut byte, SECTOR_BYTES as u64).unwrap();
    assert_eq!(byte, *b"c");
    disk.replace("f", b"short".to_vec());
    assert_eq!(file.read_at(&mut byte, 5).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    disk.replace("other", b"new".to_vec());
    disk.cut_power(&mut nothing);
    assert_eq!((disk.content("f").unwrap(), disk.content("other").unwrap()), (b"short".to_vec(), b"new".to_vec()));
    disk.lose_everything();
    assert_eq!((disk.content("f"), disk.content("other")), (None, None));
}
