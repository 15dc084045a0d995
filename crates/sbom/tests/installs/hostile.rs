//! Trees that lie: whatever their bytes, the look at them ends, and the rest is still told.

use std::collections::BTreeMap;

use proptest::prelude::*;
use sbom::Files;

use super::tree::Written;

/// Every path that is read for something else.
const PATHS: [&str; 12] = [
    "var/lib/dpkg/status",
    "lib/apk/db/installed",
    "var/lib/rpm/rpmdb.sqlite",
    "var/lib/rpm/Packages.db",
    "var/lib/rpm/Packages",
    "x/site-packages/a-1.dist-info/METADATA",
    "x/node_modules/a/package.json",
    "x/package-lock.json",
    "x/Cargo.lock",
    "etc/os-release",
    "bin/program",
    "lib/library.so.1",
];

/// Beginnings that lead the readers on.
const STARTS: [&[u8]; 8] = [
    b"",
    b"SQLite format 3\0\x10\0\x01\x01\0\x40\x20\x20",
    b"RpmP\0\0\0\0\0\0\0\0\x01\0\0\0",
    b"\0\0\0\0\0\0\0\0\0\0\0\0\x61\x15\x06\0\0\0\0\0\0\x02\0\0\0\0\0\0\0\0\0\0\x03\0\0\0",
    b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\x3e\0",
    b"\x7fELF\x01\x02\x01\0\0\0\0\0\0\0\0\0\x02\0\x3e\0",
    b"Package: a\nVersion: 1\n\n",
    b"{\"name\":\"a\",",
];

fn tree(contents: Vec<(usize, Vec<u8>)>) -> Written {
    let files = PATHS
        .iter()
        .zip(contents)
        .map(|(path, (start, rest))| (path.as_bytes().to_vec(), [STARTS[start % STARTS.len()], &rest[..]].concat()));
    Written(files.collect())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn any_bytes_are_read_to_an_end(contents in proptest::collection::vec((0usize..8, proptest::collection::vec(any::<u8>(), 0..3000)), 12)) {
        let inventory = sbom::scan(&tree(contents)).unwrap();
        let subject = sbom::spdx::Subject { name: "a".into(), digest: "d".into(), created: "t".into(), tool: "t".into() };
        prop_assert!(sbom::spdx::document(&inventory, &subject).is_object());
    }

    /// One byte of a good program or database is another.
    #[test]
    fn a_bit_that_flipped(at in any::<proptest::sample::Index>(), bits in 1u8.., cut in any::<proptest::sample::Index>()) {
        for (path, bytes) in good() {
            let mut changed = bytes.clone();
            changed[at.index(bytes.len())] ^= bits;
            changed.truncate(cut.index(bytes.len()) + 1);
            let files = Written([(path.as_bytes().to_vec(), changed)].into());
            prop_assert!(sbom::scan(&files).is_ok());
        }
    }
}

/// Small files that are what they say.
fn good() -> Vec<(&'static str, Vec<u8>)> {
    vec![("var/lib/rpm/rpmdb.sqlite", sqlite()), ("bin/program", std::fs::read("/bin/true").unwrap())]
}

/// An SQLite file of two pages: the schema with one table, and that table with one row, whose blob goes on at page 2 again.
fn sqlite() -> Vec<u8> {
    let mut file = vec![0u8; 1024];
    file[..16].copy_from_slice(b"SQLite format 3\0");
    file[16..18].copy_from_slice(&512u16.to_be_bytes());
    let row = |values: &[&[u8]]| {
        let head: Vec<u8> = values.iter().map(|value| u8::try_from(13 + 2 * value.len()).unwrap()).collect();
        [&[u8::try_from(head.len() + 1).unwrap()][..], &head, &values.concat()].concat()
    };
    let mut put = |page: usize, start: usize, payload: Vec<u8>| {
        let at = 400;
        file[page + start] = 13;
        file[page + start + 4] = 1;
        file[page + start + 8..page + start + 10].copy_from_slice(&u16::try_from(at).unwrap().to_be_bytes());
        file[page + at] = u8::try_from(payload.len()).unwrap();
        file[page + at + 1] = 1;
        file[page + at + 2..page + at + 2 + payload.len()].copy_from_slice(&payload);
    };
    let mut schema = row(&[b"table", b"Packages", b"Packages", b"", b"sql"]);
    // The page's number is a number: serial type 1, one byte.
    schema[4] = 1;
    schema.splice(6 + 5 + 8 + 8..6 + 5 + 8 + 8, [2]);
    put(0, 100, schema);
    put(512, 0, row(&[b"", b"not a header"]));
    file
}

#[test]
fn a_damaged_header_is_told_and_the_rest_read() {
    let mut files: BTreeMap<Vec<u8>, Vec<u8>> = BTreeMap::new();
    files.insert(b"var/lib/rpm/rpmdb.sqlite".to_vec(), sqlite());
    files.insert(b"var/lib/dpkg/status".to_vec(), b"Package: a\nStatus: install ok installed\nVersion: 1\n".to_vec());
    let inventory = sbom::scan(&Written(files)).unwrap();
    assert_eq!(inventory.packages.len(), 1);
    assert_eq!(inventory.problems.len(), 1);
    assert!(
        inventory.problems[0].message.contains("entries") || inventory.problems[0].message.contains("header"),
        "{inventory:?}"
    );
}

#[test]
fn rows_without_end_are_bounded() {
    // A row of 60 MiB whose next page is itself, 80 times.
    let mut file = sqlite();
    let cells = 80usize;
    file[512 + 3..512 + 5].copy_from_slice(&u16::try_from(cells).unwrap().to_be_bytes());
    for cell in 0..cells {
        file[512 + 8 + 2 * cell..512 + 10 + 2 * cell].copy_from_slice(&400u16.to_be_bytes());
    }
    file[512 + 400..512 + 406].copy_from_slice(&[0x9e, 0x80, 0x80, 0x00, 1, 3]);
    let started = std::time::Instant::now();
    let inventory = sbom::scan(&Written([(b"var/lib/rpm/rpmdb.sqlite".to_vec(), file)].into())).unwrap();
    assert!(inventory.packages.is_empty() && inventory.problems.len() == 1, "{inventory:?}");
    assert!(started.elapsed() < std::time::Duration::from_secs(20));
}

#[test]
fn deep_json_and_endless_lists() {
    let deep = [b"[".repeat(100_000), b"]".repeat(100_000)].concat();
    let nested = format!("{}\"a\":{{}}{}", "{\"dependencies\":{\"x\":".repeat(100), "}}".repeat(100));
    let files = Written(
        [
            (b"x/package-lock.json".to_vec(), deep),
            (b"y/package-lock.json".to_vec(), nested.into_bytes()),
            (b"z/Cargo.lock".to_vec(), b"a=[".repeat(50_000)),
        ]
        .into(),
    );
    let inventory = sbom::scan(&files).unwrap();
    assert_eq!((inventory.packages.len(), inventory.problems.len()), (0, 3), "{:?}", inventory.problems);
    assert!(files.open(b"none").unwrap().is_none());
}
