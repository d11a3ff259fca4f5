use std::sync::atomic::{AtomicU64, Ordering};

use super::*;
use crate::identity_file::tests::example;
use crate::identity_file::{IDENTITY, IDENTITY_BYTES_MAX};

/// A directory that disappears with the test.
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    pub(crate) fn new() -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("viewstamped-storage-{}-{count}", std::process::id()));
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn load(&self) -> Result<Found, DirectoryError> {
        Directory::lock(&self.0)?.load()
    }

    fn formatted() -> Self {
        let scratch = Self::new();
        format(&scratch.0, example(), InstanceId(5)).unwrap();
        scratch
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).unwrap();
    }
}

fn later() -> IdentityFile {
    let mut later = example();
    later.identity.incarnation = later.identity.incarnation.next();
    later
}

#[test]
fn a_formatted_directory_is_found_as_a_virgin_of_that_instance() {
    let scratch = Scratch::new();
    let path = scratch.file("not/there/yet");
    let written = format(&path, example(), InstanceId(5)).unwrap();
    let Found::Identity(found) = Directory::lock(&path).unwrap().load().unwrap() else { panic!("empty") };
    assert_eq!(*found, written);
    assert_eq!((found.identity.instance, found.identity.is_virgin()), (InstanceId(5), true));
    assert_eq!((found.cluster, found.node), (example().cluster, example().node));
}

#[test]
fn a_directory_is_formatted_once() {
    let scratch = Scratch::formatted();
    let before = fs::read(scratch.file(IDENTITY)).unwrap();
    let error = format(&scratch.0, example(), InstanceId(6)).unwrap_err();
    assert!(matches!(error, DirectoryError::AlreadyFormatted { .. }), "{error}");
    let text = error.to_string();
    assert!(text.contains("replica 2") && text.contains("vr start"), "{text}");
    assert_eq!(fs::read(scratch.file(IDENTITY)).unwrap(), before);
}

#[test]
fn format_refuses_what_is_not_empty_and_harms_nothing() {
    let scratch = Scratch::new();
    fs::write(scratch.file("thesis.txt"), "do not touch").unwrap();
    let error = format(&scratch.0, example(), InstanceId(5)).unwrap_err();
    assert!(matches!(&error, DirectoryError::Foreign { example, .. } if example == "thesis.txt"), "{error}");
    assert!(matches!(scratch.load(), Err(DirectoryError::Foreign { .. })));
    assert_eq!(fs::read(scratch.file("thesis.txt")).unwrap(), b"do not touch");
    assert!(!scratch.file(IDENTITY).exists());
}

#[test]
fn format_refuses_a_damaged_identity_rather_than_replace_it() {
    let scratch = Scratch::new();
    fs::write(scratch.file(IDENTITY), "").unwrap();
    let error = format(&scratch.0, example(), InstanceId(5)).unwrap_err();
    assert!(matches!(error, DirectoryError::Damaged { .. }), "{error}");
}

#[test]
fn an_identity_that_cannot_be_written_creates_nothing() {
    let scratch = Scratch::new();
    let mut stranger = example();
    stranger.node = viewstamped_protocol::NodeId(9);
    let error = format(scratch.file("new"), stranger, InstanceId(5)).unwrap_err();
    assert!(matches!(error, DirectoryError::Unwritable { .. }), "{error}");
    assert!(!scratch.file("new").exists());
}

#[test]
fn an_empty_directory_is_empty_even_at_the_root_of_a_disk() {
    let scratch = Scratch::new();
    fs::create_dir(scratch.file("lost+found")).unwrap();
    assert_eq!(scratch.load().unwrap(), Found::Empty);
    assert_eq!(scratch.load().unwrap(), Found::Empty, "the lock file of the first look is nothing foreign");
}

#[test]
fn a_missing_directory_is_not_created() {
    let scratch = Scratch::new();
    let error = Directory::lock(scratch.file("unmounted")).unwrap_err();
    assert!(matches!(error, DirectoryError::Missing { .. }), "{error}");
    assert!(!scratch.file("unmounted").exists());
}

#[test]
fn a_file_is_not_a_directory() {
    let scratch = Scratch::new();
    fs::write(scratch.file("file"), "").unwrap();
    assert!(matches!(Directory::lock(scratch.file("file")), Err(DirectoryError::NotADirectory { .. })));
}

#[test]
fn a_directory_in_use_is_refused_naming_the_process() {
    let scratch = Scratch::formatted();
    let held = Directory::lock(&scratch.0).unwrap();
    let errors = [
        Directory::lock(&scratch.0).map(drop).unwrap_err(),
        format(&scratch.0, example(), InstanceId(6)).map(drop).unwrap_err(),
    ];
    for error in errors {
        let text = error.to_string();
        assert!(matches!(error, DirectoryError::InUse { holder: Some(_), .. }), "{text}");
        assert!(text.contains(&format!("process {}", std::process::id())), "{text}");
    }
    drop(held);
    Directory::lock(&scratch.0).expect("free again");
}

#[test]
fn what_was_saved_last_is_found() {
    let scratch = Scratch::formatted();
    let mut directory = Directory::lock(&scratch.0).unwrap();
    directory.save(&example()).unwrap();
    directory.save(&later()).unwrap();
    assert_eq!(directory.load().unwrap(), Found::Identity(Box::new(later())));
    assert!(!scratch.file(IDENTITY_TEMPORARY).exists());
}

#[test]
fn a_crash_before_the_rename_leaves_the_old_identity() {
    let scratch = Scratch::formatted();
    let mut directory = Directory::lock(&scratch.0).unwrap();
    directory.save(&example()).unwrap();
    let whole = later().encode().unwrap();
    for length in 0..=whole.len() {
        fs::write(scratch.file(IDENTITY_TEMPORARY), &whole[..length]).unwrap();
        assert_eq!(directory.load().unwrap(), Found::Identity(Box::new(example())));
    }
    directory.save(&later()).expect("what a crash left behind is no obstacle");
    assert_eq!(directory.load().unwrap(), Found::Identity(Box::new(later())));
}

#[test]
fn a_crash_while_formatting_leaves_an_empty_directory() {
    let scratch = Scratch::new();
    fs::write(scratch.file(IDENTITY_TEMPORARY), "VRIDE").unwrap();
    assert_eq!(scratch.load().unwrap(), Found::Empty);
    format(&scratch.0, example(), InstanceId(5)).expect("format can be run again");
}

#[test]
fn an_identity_that_cannot_be_saved_is_an_error_and_the_old_one_stays() {
    let scratch = Scratch::formatted();
    let mut directory = Directory::lock(&scratch.0).unwrap();
    directory.save(&example()).unwrap();
    // A directory in place of the file: even root cannot write it.
    fs::create_dir(scratch.file(IDENTITY_TEMPORARY)).unwrap();
    let error = directory.save(&later()).unwrap_err();
    assert!(matches!(error, DirectoryError::Io { action: "create", .. }), "{error}");
    assert_eq!(directory.load().unwrap(), Found::Identity(Box::new(example())));
}

#[test]
fn a_damaged_identity_says_how_to_recover_the_replica() {
    let scratch = Scratch::formatted();
    let bytes = fs::read(scratch.file(IDENTITY)).unwrap();
    let giant = vec![b'x'; IDENTITY_BYTES_MAX * 2];
    let longer = [&bytes[..], &giant].concat();
    for damaged in [&bytes[..bytes.len() / 2], b"", &giant, &longer] {
        fs::write(scratch.file(IDENTITY), damaged).unwrap();
        let error = scratch.load().unwrap_err();
        assert!(matches!(error, DirectoryError::Damaged { .. }), "{error}");
        let text = error.to_string();
        let dir = scratch.0.display().to_string();
        assert!(text.contains(&format!("Move {dir} away")) && text.contains("vr start --cluster"), "{text}");
    }
}

#[test]
fn an_identity_that_cannot_be_read_is_not_taken_for_an_empty_directory() {
    let scratch = Scratch::new();
    // A directory in place of the file: even root cannot open it for writing.
    fs::create_dir(scratch.file(IDENTITY)).unwrap();
    let error = scratch.load().unwrap_err();
    assert!(matches!(error, DirectoryError::Io { action: "open", .. }), "{error}");
    // A link to itself: even root cannot open it.
    fs::remove_dir(scratch.file(IDENTITY)).unwrap();
    std::os::unix::fs::symlink(IDENTITY, scratch.file(IDENTITY)).unwrap();
    let error = scratch.load().unwrap_err();
    assert!(matches!(error, DirectoryError::Io { action: "open", .. }), "{error}");
}

#[test]
fn an_identity_of_a_later_release_is_not_called_damaged() {
    let scratch = Scratch::formatted();
    let mut bytes = fs::read(scratch.file(IDENTITY)).unwrap();
    bytes[8] = 9;
    bytes.truncate(bytes.len() - 4);
    let checksum = crc32c::crc32c(&bytes);
    bytes.extend_from_slice(&checksum.to_le_bytes());
    fs::write(scratch.file(IDENTITY), bytes).unwrap();
    assert!(matches!(scratch.load(), Err(DirectoryError::Newer { version: 9, .. })));
}
