//! What a layer holds survives: tar → tree → tar.

use std::os::unix::fs::MetadataExt;

use layer::{Entry, Kind, Toc};
use oci::Digest;
use sys::{Root, xattr};

use super::super::special::{NODE, OPAQUE, name};
use super::super::{
    ApplyOptions, IdPolicy, LayerBuilder, StreamOptions, Whiteouts, apply, diff, replay, restamp, stream, unpack,
    view::{LayerSource, TreeView},
};
use super::{applied, bare, dir, directory, entry, file, is_root, link, listing, streamed, tar};

/// A layer with one of everything that the user who runs the tests may make.
fn everything() -> Vec<u8> {
    let mut suid = file("bin/tool", "#!");
    suid.0.mode = 0o4755;
    let mut closed = file("bin/closed", "no access");
    // Without access for anybody, whom only root reads all the same.
    closed.0.mode = if is_root() { 0o000 } else { 0o400 };
    // A hard link carries the attributes of its file.
    let mut hard = link("bin/hard", Kind::Hardlink, "bin/closed");
    hard.0.mode = closed.0.mode;
    let mut sticky = dir("tmp");
    sticky.0.mode = 0o1777;
    let mut old = file("tmp/old", "x");
    old.0.mtime = -86_400;
    let mut attributed = file("tmp/user", "y");
    attributed.0.xattrs.insert(b"user.note".to_vec(), b"kept \0 whole".to_vec());
    let long = format!("tmp/{}", "n".repeat(200));
    let mut strange = file("tmp/strange", "z");
    strange.0.path = b"tmp/\xff\xfe\n".to_vec();
    let entries = [
        dir("bin"),
        closed,
        hard,
        link("bin/soft", Kind::Symlink, "/nowhere/../at all"),
        suid,
        dir("empty"),
        dir("hidden"),
        bare("hidden", Kind::Opaque),
        file("hidden/seen", "1"),
        bare("pipe", Kind::Fifo),
        sticky,
        bare("tmp/gone", Kind::Whiteout),
        file(&long, "long"),
        old,
        attributed,
        strange,
        bare("were", Kind::Whiteout),
    ];
    tar(&entries)
}

#[test]
fn a_tar_becomes_a_tree_and_the_same_tar_again() {
    let bytes = everything();
    let (dir, root) = applied(&bytes);
    let (built, again) = streamed(&root);
    assert_eq!(diff_names(&bytes), diff_names(&again));
    assert!(again == bytes, "the bytes differ");
    assert_eq!(built.diff_id.digest(), &Digest::sha256(&bytes));
    assert_eq!(built.size, bytes.len() as u64);
    let whiteout = dir.path().join("were").symlink_metadata().unwrap();
    assert_eq!((whiteout.rdev(), whiteout.mode() & 0o170_000), (0, 0o020_000));
    assert_eq!(xattr::get(root.open_dir("hidden").unwrap(), name(OPAQUE)).unwrap().unwrap(), b"y");
}

fn diff_names(bytes: &[u8]) -> Vec<Entry> {
    Toc::scan(bytes).unwrap().entries().iter().map(|record| record.entry.clone()).collect()
}

#[test]
fn the_record_alone_writes_the_tar_again() {
    let bytes = everything();
    let (_dir, root) = applied(&bytes);
    let (built, _) = streamed(&root);
    let mut stored = Vec::new();
    built.toc.encode(&mut stored).unwrap();
    let toc = Toc::decode(&stored[..]).unwrap();
    let (replayed, again) = replay(&toc, &root, None, Vec::new()).unwrap();
    assert!(again == bytes);
    assert_eq!(replayed.diff_id, built.diff_id);
    // And the record that a scan of the tar makes is the same, digests and offsets included.
    assert_eq!(Toc::scan(&bytes[..]).unwrap(), built.toc);
}

#[test]
fn times_are_clamped_in_the_tar_and_nowhere_else() {
    let bytes = everything();
    let (_dir, root) = applied(&bytes);
    let options = StreamOptions { clamp: Some(5), ..StreamOptions::default() };
    let (built, clamped) = stream(&root, &options, Vec::new()).unwrap();
    let times = |toc: &Toc| toc.entries().iter().map(|record| record.entry.mtime).max().unwrap();
    assert_eq!(times(&Toc::scan(&clamped[..]).unwrap()), 5);
    assert_eq!(times(&built.toc), 1_000_000_000);
    let (again, _) = replay(&built.toc, &root, None, Vec::new()).unwrap();
    assert_eq!(again.diff_id.digest(), &Digest::sha256(&bytes));
    let (_, restamped) = restamp(&bytes[..], Some(5), Vec::new()).unwrap();
    assert!(restamped == clamped);
}

#[test]
fn one_pass_makes_tar_and_tree() {
    let bytes = everything();
    let (_first, root) = directory();
    let mut builder = LayerBuilder::new(Vec::new()).tree(&root, IdPolicy::Keep).unwrap();
    let mut reader = layer::TarReader::new(&bytes[..]);
    while let Some((entry, mut content)) = reader.next_entry().unwrap() {
        let digest = builder.append(entry.clone(), &mut content, None).unwrap();
        assert_eq!(digest.is_some(), entry.kind == Kind::File);
    }
    let (built, written) = builder.finish().unwrap();
    assert!(written == bytes);
    assert_eq!(streamed(&root).0.diff_id, built.diff_id);
}

#[test]
fn content_that_changes_while_it_is_read_is_an_error() {
    for (announced, content) in [(5, "1234"), (3, "1234")] {
        let mut entry = entry("a", Kind::File);
        entry.size = announced;
        let mut builder = LayerBuilder::new(std::io::sink());
        let error = builder.append(entry, &mut content.as_bytes(), None).unwrap_err();
        assert!(error.to_string().contains("changed while it was read"), "{error}");
    }
}

#[test]
fn any_compression_is_unpacked_and_named() {
    use std::io::Write;
    let bytes = everything();
    for compression in [layer::Compression::None, layer::Compression::Gzip, layer::Compression::Zstd] {
        let mut encoder = compression.encoder(Vec::new(), None).unwrap();
        encoder.write_all(&bytes).unwrap();
        let packed = encoder.finish().unwrap();
        let (_dir, root) = directory();
        let verified = oci::Verifier::new(&packed[..], Digest::sha256(&packed), packed.len() as u64);
        let unpacked = unpack(verified, &root, &ApplyOptions::default()).unwrap();
        assert_eq!(unpacked.compression, compression);
        assert_eq!(unpacked.diff_id.digest(), &Digest::sha256(&bytes));
        assert_eq!(unpacked.size, bytes.len() as u64);
        assert!(streamed(&root).1 == bytes);
        // Another digest than promised fails, though every byte of the tar was fine.
        let (_dir, root) = directory();
        let wrong = oci::Verifier::new(&packed[..], Digest::sha256(b""), packed.len() as u64);
        assert!(unpack(wrong, &root, &ApplyOptions::default()).is_err());
    }
}

#[test]
fn nodes_attributes_and_owners_of_others() {
    if !is_root() {
        return;
    }
    let mut null = bare("dev/null", Kind::Char);
    (null.0.rdev, null.0.mode) = ((1, 3), 0o666);
    let mut disk = bare("dev/sda", Kind::Block);
    disk.0.rdev = (8, 1);
    let mut capable = file("ping", "ping");
    let capability = [1, 0, 0, 2, 0, 32, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    capable.0.xattrs.insert(b"security.capability".to_vec(), capability.to_vec());
    let mut owned = file("owned", "");
    // Which ids there are depends on the user namespace that the tests run in.
    let uid = [3_000_000, 1_000, 0].into_iter().find(|uid| may_chown(*uid)).unwrap();
    (owned.0.uid, owned.0.gid, owned.0.mode) = (uid, uid.min(65_534), 0o6711);
    let mut linked = link("soft", Kind::Symlink, "owned");
    linked.0.uid = uid.min(12);
    let bytes = tar(&[dir("dev"), null, disk, owned, capable, linked]);
    let (_dir, root) = applied(&bytes);
    assert!(streamed(&root).1 == bytes, "{:#?}", diff(&root, Default::default()));
}

fn may_chown(uid: u32) -> bool {
    let file = tempfile::tempfile().unwrap();
    rustix::fs::fchown(file, Some(rustix::fs::Uid::from_raw(uid)), Some(rustix::fs::Gid::from_raw(uid.min(65_534))))
        .is_ok()
}

#[test]
fn owners_can_be_recorded_where_there_is_one_id() {
    let (above, _) = directory();
    std::fs::create_dir(above.path().join("fs")).unwrap();
    let fs = above.path().join("fs");
    let root = Root::open(&fs).unwrap();
    let own = |(mut entry, content): (Entry, &'static [u8]), uid, gid| {
        (entry.uid, entry.gid) = (uid, gid);
        (entry, content)
    };
    let bytes = tar(&[
        own(dir("etc"), 0, 0),
        own(file("etc/gshadow", "x"), 0, 42),
        own(link("etc/link", Kind::Symlink, "gshadow"), 7, 8),
        own(bare("pipe", Kind::Fifo), 9, 10),
        own(dir("var"), 100, 65_534),
    ]);
    let ids = IdPolicy::Recorded(fs);
    let options = ApplyOptions { ids: ids.clone(), ..ApplyOptions::default() };
    apply(&bytes[..], &root, &options).unwrap();
    assert_eq!(root.stat("etc/gshadow").unwrap().gid, super::ids().1, "nothing was really changed");
    let walk = super::super::WalkOptions { ids: ids.clone(), lower: None };
    let (_, again) = stream(&root, &StreamOptions { walk, ..Default::default() }, Vec::new()).unwrap();
    assert!(again == bytes, "{:#?} {:#?}", diff_names(&bytes), diff_names(&again));
    let view = TreeView::new(vec![LayerSource::Tree { root, toc: None, ids }]).unwrap();
    assert_eq!(view.lookup(b"etc/link", false).unwrap().unwrap().entry().uid, 7);
    assert_eq!(view.lookup(b"etc/link", true).unwrap().unwrap().entry().gid, 42);
}

#[test]
fn a_refused_device_node_is_recorded() {
    let (_dir, root) = directory();
    let file = root.create("null", 0o666, true).unwrap();
    if xattr::set(&file, name(NODE), b"c 1 3").is_err() {
        return;
    }
    let entries = diff(&root, Default::default()).unwrap();
    assert_eq!((entries[0].kind, entries[0].rdev), (Kind::Char, (1, 3)));
}

#[test]
fn zeros_take_no_space_and_a_sparse_file_stays_one() {
    let mut big = entry("big", Kind::File);
    big.size = 64 << 20;
    let mut bytes = Vec::new();
    let mut writer = layer::TarWriter::new(&mut bytes);
    writer.append(&big, &mut std::io::Read::take(std::io::repeat(0), 64 << 20)).unwrap();
    writer.finish().unwrap();
    let (dir, root) = applied(&bytes);
    let metadata = dir.path().join("big").metadata().unwrap();
    assert_eq!(metadata.len(), 64 << 20);
    assert!(metadata.blocks() < 100, "{}", metadata.blocks());
    assert!(streamed(&root).1 == bytes);
}

#[test]
fn deletions_act_on_a_whole_tree() {
    let (dir, root) = applied(&tar(&[
        super::dir("a"),
        file("a/one", "1"),
        file("a/two", "2"),
        super::dir("b"),
        file("b/old", "old"),
        file("c", "c"),
        super::dir("d"),
        file("d/x", "x"),
    ]));
    let options = ApplyOptions { whiteouts: Whiteouts::Remove, ..ApplyOptions::default() };
    // Deletions after what the same layer adds: they must reach the lower layers only.
    let second = tar(&[
        super::dir("b"),
        file("b/new", "new"),
        bare("b", Kind::Opaque),
        bare("a/one", Kind::Whiteout),
        file("d", "a file now"),
        bare("d", Kind::Whiteout),
        bare("nothing/here", Kind::Whiteout),
    ]);
    apply(&second[..], &root, &options).unwrap();
    let found: Vec<_> = listing(dir.path()).into_iter().collect();
    let expected = [
        ("a", "dir"),
        ("a/two", "2"),
        ("b", "dir"),
        ("b/new", "new"),
        ("c", "c"),
        ("d", "a file now"),
        ("nothing", "dir"),
    ];
    assert_eq!(found, expected.map(|(path, what)| (path.to_owned(), what.to_owned())));
}

#[test]
fn a_deletion_and_a_new_directory_of_one_name_hide_the_lower_one() {
    for bytes in [
        tar(&[bare("d", Kind::Whiteout), dir("d"), file("d/x", "x")]),
        tar(&[dir("d"), file("d/x", "x"), bare("d", Kind::Whiteout)]),
    ] {
        let (_dir, root) = applied(&bytes);
        let kinds: Vec<_> = diff(&root, Default::default()).unwrap().into_iter().map(|entry| entry.kind).collect();
        assert_eq!(kinds, [Kind::Dir, Kind::Opaque, Kind::File]);
    }
}

#[test]
fn directories_that_are_only_implied_look_like_the_ones_below() {
    let mut tmp = dir("tmp");
    tmp.0.mode = 0o1777;
    let (_below, lower) = applied(&tar(&[tmp]));
    let (_dir, root) = directory();
    let options = ApplyOptions { lowers: vec![lower], ..ApplyOptions::default() };
    apply(&tar(&[file("tmp/a", ""), file("new/deep/b", "")])[..], &root, &options).unwrap();
    assert_eq!(root.stat("tmp").unwrap().permissions(), 0o1777);
    assert_eq!(root.stat("new/deep").unwrap().permissions(), 0o755);
}

#[test]
fn directories_copied_up_without_a_change_are_left_out() {
    let lower_tar = tar(&[dir("etc"), dir("etc/a"), dir("etc/b"), file("etc/b/f", "old"), dir("etc/c")]);
    let (_below, lower) = applied(&lower_tar);
    let lower = LayerSource::Tree { root: lower, toc: None, ids: IdPolicy::Keep };
    let view = TreeView::new(vec![lower]).unwrap();
    let mut changed = dir("etc/c");
    changed.0.mode = 0o700;
    let (_above, upper) = applied(&tar(&[dir("etc"), dir("etc/a"), dir("etc/b"), file("etc/b/f", "new"), changed]));
    let options = super::super::WalkOptions { ids: IdPolicy::Keep, lower: Some(&view) };
    let paths: Vec<_> = diff(&upper, options).unwrap().into_iter().map(|entry| entry.path).collect();
    assert_eq!(paths, [&b"etc"[..], b"etc/b", b"etc/b/f", b"etc/c"]);
    let (_same, upper) = applied(&tar(&[dir("etc"), dir("etc/a")]));
    let options = super::super::WalkOptions { ids: IdPolicy::Keep, lower: Some(&view) };
    assert!(diff(&upper, options).unwrap().is_empty());
}

#[test]
fn a_changed_mark_of_another_mount_is_refused() {
    let (_dir, root) = applied(&tar(&[dir("d")]));
    root.set_xattr("d", "user.overlay.redirect", b"/elsewhere").unwrap();
    assert!(diff(&root, Default::default()).unwrap_err().to_string().contains("user.overlay.redirect"));
}
