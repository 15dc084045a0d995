//! The log as a whole: what is written is read, whatever happens to its files.

use std::fs::File;
use std::io::Write as _;
use std::os::fd::AsFd as _;
use std::path::Path;
use std::time::Instant;

use super::*;
use crate::Config;
use crate::config::{Image, Logging, VERSION};
use crate::id::ContainerId;
use crate::time::Moment;

pub(crate) fn config(driver: Option<&str>, options: &[(&str, &str)]) -> Config {
    let digest = oci::Digest::sha256(b"");
    Config {
        made_by: Default::default(),
        version: VERSION,
        id: ContainerId::try_from("ab".repeat(32)).unwrap(),
        name: "web".into(),
        created: Moment::now(),
        image: Image { name: "app".into(), id: digest, manifest: digest, platform: "linux/amd64".parse().unwrap() },
        life: Default::default(),
        process: Default::default(),
        data: Default::default(),
        network: Default::default(),
        resources: Default::default(),
        isolation: Default::default(),
        health: None,
        logging: Logging {
            driver: driver.map(str::to_owned),
            options: options.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
        },
        notify: Default::default(),
    }
}

fn read(reader: &mut Reader) -> String {
    let mut text = Vec::new();
    reader
        .read::<LogError>(|entry| {
            text.extend_from_slice(&entry.bytes);
            Ok(())
        })
        .unwrap();
    String::from_utf8(text).unwrap()
}

fn all(path: &Path, driver: Driver, selection: Selection) -> String {
    read(&mut Reader::open(path.to_path_buf(), driver, selection).unwrap())
}

fn drivers() -> [(&'static str, Driver); 2] {
    [("local", Driver::Local), ("json-file", Driver::JsonFile)]
}

#[test]
fn what_was_said_is_read_and_its_end_by_lines() {
    for (name, driver) in drivers() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let mut sink = Sink::open(&config(Some(name), &[]), path.clone()).unwrap();
        sink.write(Source::Stdout, b"one\ntwo\nthr");
        sink.write(Source::Stdout, b"ee\nfour\n");
        sink.write(Source::Stdout, b"five");
        sink.finish();
        assert_eq!(all(&path, driver, Selection::default()), "one\ntwo\nthree\nfour\nfive", "{name}");
        for (lines, expected) in [
            (0, ""),
            (1, "five"),
            (2, "four\nfive"),
            (3, "three\nfour\nfive"),
            (5, "one\ntwo\nthree\nfour\nfive"),
            (99, "one\ntwo\nthree\nfour\nfive"),
        ] {
            let selection = Selection { tail: Some(lines), ..Selection::default() };
            assert_eq!(all(&path, driver, selection), expected, "{name} {lines}");
        }
    }
}

#[test]
fn moments_select() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    let mut sink = Sink::open(&config(None, &[]), path.clone()).unwrap();
    sink.write(Source::Stdout, b"before\n");
    std::thread::sleep(std::time::Duration::from_millis(3));
    let middle = Moment::now();
    sink.write(Source::Stdout, b"after\n");
    let since = Selection { since: Some(middle), ..Selection::default() };
    let until = Selection { until: Some(middle), ..Selection::default() };
    assert_eq!(all(&path, Driver::Local, since), "after\n");
    assert_eq!(all(&path, Driver::Local, until), "before\n");
}

#[test]
fn a_follower_sees_everything_across_rotation() {
    for (name, driver) in drivers() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let config = config(Some(name), &[("max-size", "4k"), ("max-file", "3")]);
        let mut sink = Sink::open(&config, path.clone()).unwrap();
        let mut follower = Reader::open(path.clone(), driver, Selection::default()).unwrap();
        let (mut expected, mut seen) = (String::new(), String::new());
        for number in 0..2000 {
            let line = format!("line {number}\n");
            sink.write(if number % 3 == 0 { Source::Stderr } else { Source::Stdout }, line.as_bytes());
            expected.push_str(&line);
            if number % 50 == 0 {
                seen.push_str(&read(&mut follower));
            }
        }
        seen.push_str(&read(&mut follower));
        assert_eq!(seen, expected, "{name}");
        let files: Vec<_> = std::fs::read_dir(dir.path()).unwrap().map(|file| file.unwrap()).collect();
        assert_eq!(files.len(), 3, "{name}");
        assert!(files.iter().all(|file| file.metadata().unwrap().len() <= 4 << 10), "{name}");
        let kept = all(&path, driver, Selection::default());
        assert!(expected.ends_with(&kept) && kept.len() > 500, "{name}");
        let last = Selection { tail: Some(100), ..Selection::default() };
        assert_eq!(all(&path, driver, last).lines().count(), 100, "{name}");
    }
}

#[test]
fn a_torn_record_is_passed_over_and_written_over() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    Sink::open(&config(None, &[]), path.clone()).unwrap().write(Source::Stdout, b"whole\n");
    let whole = std::fs::metadata(&path).unwrap().len();
    let mut second = Sink::open(&config(None, &[]), path.clone()).unwrap();
    second.write(Source::Stdout, b"torn, torn\n");
    let size = std::fs::metadata(&path).unwrap().len();
    for cut in whole + 1..size {
        let bytes = std::fs::read(&path).unwrap();
        let copy = dir.path().join("copy");
        std::fs::write(&copy, &bytes[..usize::try_from(cut).unwrap()]).unwrap();
        assert_eq!(all(&copy, Driver::Local, Selection::default()), "whole\n", "{cut}");
        Sink::open(&config(None, &[]), copy.clone()).unwrap().write(Source::Stdout, b"new\n");
        assert_eq!(all(&copy, Driver::Local, Selection::default()), "whole\nnew\n", "{cut}");
    }
}

#[test]
fn a_log_that_somebody_empties_or_removes_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    let mut sink = Sink::open(&config(None, &[]), path.clone()).unwrap();
    let mut follower = Reader::open(path.clone(), Driver::Local, Selection::default()).unwrap();
    sink.write(Source::Stdout, b"first, a longer line\n");
    assert_eq!(read(&mut follower), "first, a longer line\n");
    File::options().write(true).open(&path).unwrap().set_len(0).unwrap();
    assert_eq!(read(&mut follower), "");
    sink.write(Source::Stdout, b"second\n");
    assert_eq!(read(&mut follower), "second\n");
    std::fs::remove_file(&path).unwrap();
    sink.write(Source::Stdout, b"third\n");
    assert_eq!(read(&mut follower), "third\n");
    assert_eq!(all(&path, Driver::Local, Selection::default()), "third\n");
}

#[test]
fn a_full_disk_loses_output_and_says_so() {
    // /dev/full in place of a disk is refused as a log, so the limit on a file's size stands in: the file cannot grow.
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    let config = config(None, &[("max-size", "4k"), ("max-file", "1")]);
    let mut sink = Sink::open(&config, path.clone()).unwrap();
    sink.write(Source::Stdout, &vec![b'x'; 3 << 10]);
    // A folder in the place of the next file: it cannot be rotated.
    std::fs::remove_file(&path).unwrap();
    std::fs::create_dir(&path).unwrap();
    sink.write(Source::Stdout, b"lost\n");
    std::fs::remove_dir(&path).unwrap();
    sink.write(Source::Stdout, b"kept\n");
    let text = all(&path, Driver::Local, Selection::default());
    assert!(text.contains("5 bytes are missing here") && text.ends_with("kept\n"), "{text}");
}

#[test]
fn pipes_are_moved_whole_and_fast() {
    const SIZE: usize = 64 << 20;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    let config = config(None, &[("max-size", "-1")]);
    let mut sink = Sink::open(&config, path.clone()).unwrap();
    let (reader, writer) = rustix::pipe::pipe().unwrap();
    rustix::pipe::fcntl_setpipe_size(&writer, 1 << 20).unwrap();
    let block: Vec<u8> = (0..=255).cycle().take(1 << 20).collect();
    let start = Instant::now();
    let talker = std::thread::spawn(move || {
        let mut file = File::from(writer);
        (0..SIZE / block.len()).for_each(|_| file.write_all(&block).unwrap());
    });
    let mut left = SIZE;
    while left > 0 {
        let there = usize::try_from(rustix::io::ioctl_fionread(&reader).unwrap()).unwrap();
        if there > 0 {
            left -= sink.splice(Source::Stdout, reader.as_fd(), there.min(record::MAX_LENGTH));
        }
    }
    let speed = SIZE as f64 / start.elapsed().as_secs_f64() / 1e6;
    talker.join().unwrap();
    println!("{speed:.0} MB/s");
    let mut at = 0;
    Reader::open(path, Driver::Local, Selection::default())
        .unwrap()
        .read::<LogError>(|entry| {
            assert!(entry.bytes.iter().enumerate().all(|(i, byte)| usize::from(*byte) == (at + i) % 256));
            at += entry.bytes.len();
            Ok(())
        })
        .unwrap();
    assert_eq!(at, SIZE);
}
