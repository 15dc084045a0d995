//! Opening, refusing, and what the index answers.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Instant;

use oci::{DiffId, Digest};
use store::{BlobForm, Error, LayerId, LayerRow, Record, Store, TreeForm, Variant, default_root};

fn store() -> (tempfile::TempDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path().join("a/store")).unwrap();
    (folder, store)
}

#[test]
fn a_store_is_private_and_versioned() {
    let (_folder, store) = store();
    assert_eq!(fs::metadata(store.root()).unwrap().permissions().mode() & 0o7777, 0o700);
    assert_eq!(fs::read_to_string(store.layout().version()).unwrap(), "1\n");
    Store::open(store.root()).unwrap();
}

#[test]
fn what_is_not_ours_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("store");
    assert!(matches!(Store::open_existing(&root), Err(Error::Absent { .. })));
    assert!(!root.exists());
    fs::create_dir(&root).unwrap();
    fs::write(root.join("thesis.txt"), "years of work").unwrap();
    assert!(matches!(Store::open(&root), Err(Error::NotAStore { .. })));
    assert_eq!(fs::read_dir(&root).unwrap().count(), 1);

    let (_folder, store) = store();
    fs::write(store.layout().version(), "2\n").unwrap();
    let error = Store::open(store.root()).unwrap_err();
    assert!(matches!(error, Error::Newer { found: 2, known: 1, .. }), "{error}");
    fs::write(store.layout().version(), "one").unwrap();
    assert!(matches!(Store::open(store.root()), Err(Error::Version { .. })));
    fs::write(store.layout().version(), "0").unwrap();
    Store::open(store.root()).unwrap();
}

#[test]
fn another_users_store_is_refused() {
    let (_folder, store) = store();
    let error = match std::os::unix::fs::chown(store.root(), Some(12345), None) {
        Ok(()) => Store::open(store.root()).unwrap_err(),
        Err(_) => Store::open("/").unwrap_err(),
    };
    assert!(matches!(error, Error::Owner { .. }), "{error}");
}

#[test]
fn a_half_laid_store_is_finished() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir_all(folder.path().join("blobs/sha256")).unwrap();
    fs::write(folder.path().join("index.sqlite"), "").unwrap();
    Store::open(folder.path()).unwrap();
    Store::open_existing(folder.path()).unwrap().index().images().unwrap();
}

#[test]
fn a_newer_index_is_refused() {
    let (_folder, store) = store();
    let connection = rusqlite::Connection::open(store.layout().index()).unwrap();
    connection.pragma_update(None, "user_version", 7).unwrap();
    let error = Store::open_existing(store.root()).unwrap_err().to_string();
    assert!(error.contains("schema 7, this version knows 3"), "{error}");
}

#[test]
fn an_index_of_the_version_before_is_brought_up_to_date() {
    let (_folder, store) = store();
    let name = "docker.io/library/app:latest";
    store.index().put_image(name, &Digest::sha256(b"m"), 1).unwrap();
    let root = store.root().to_owned();
    drop(store);
    let connection = rusqlite::Connection::open(root.join("index.sqlite")).unwrap();
    connection.execute_batch("DROP TABLE origins; DROP TABLE writers; PRAGMA user_version = 1").unwrap();
    drop(connection);
    for _ in 0..2 {
        let store = Store::open_existing(&root).unwrap();
        assert!(store.index().image(name).unwrap().is_some());
        let origin = store::Origin { registry: "r.example".into(), repository: "a/b".into() };
        store.index().put_origins(&origin, &[Digest::sha256(b"l")], 5).unwrap();
        assert_eq!(store.index().origins(&Digest::sha256(b"l")).unwrap(), [origin]);
    }
}

#[test]
fn the_repositories_that_had_a_blob_last_are_remembered() {
    let (_folder, store) = store();
    let (index, blob) = (store.index(), Digest::sha256(b"layer"));
    let origin = |n: i64| store::Origin { registry: "r.example".into(), repository: format!("team/{n}") };
    for n in 0..20 {
        index.put_origins(&origin(n), &[blob], n).unwrap();
    }
    index.put_origins(&origin(7), &[blob], 30).unwrap();
    let known = index.origins(&blob).unwrap();
    assert_eq!((known.len(), &known[0], &known[1]), (16, &origin(7), &origin(19)));
    index.remove_origin(&blob, &origin(7)).unwrap();
    assert_eq!(index.origins(&blob).unwrap()[0], origin(19));
    assert_eq!(index.blobs_with_origins().unwrap(), [blob]);
    index.remove_origins(&[blob]).unwrap();
    assert_eq!(index.origins(&blob).unwrap(), []);
}

/// The budget is 0.5 ms in an optimised build; a loaded machine running an unoptimised one gets more.
#[test]
fn opening_is_quick_and_writes_nothing() {
    let (_folder, store) = store();
    let name = "docker.io/library/app:latest";
    store.index().put_image(name, &Digest::sha256(b"m"), 1).unwrap();
    let stamps = || {
        let files = fs::read_dir(store.root()).unwrap().map(|entry| entry.unwrap().path());
        let mut all: Vec<_> =
            files.map(|path| (path.clone(), fs::metadata(path).unwrap().modified().unwrap())).collect();
        all.sort();
        all
    };
    let before = stamps();
    let mut times: Vec<_> = (0..50)
        .map(|_| {
            let start = Instant::now();
            let store = Store::open_existing(store.root()).unwrap();
            assert!(store.index().image(name).unwrap().is_some());
            start.elapsed()
        })
        .collect();
    times.sort();
    println!("open and read: {:?} median, {:?} best", times[25], times[0]);
    assert_eq!(stamps(), before);
    assert!(times[0].as_millis() < 10, "{times:?}");
}

#[test]
fn images_are_named_and_forgotten() {
    let (_folder, store) = store();
    let index = store.index();
    let (one, two) = (Digest::sha256(b"1"), Digest::sha256(b"2"));
    assert_eq!(index.put_image("b:1", &one, 5).unwrap(), None);
    assert_eq!(index.put_image("b:1", &two, 6).unwrap(), Some(one));
    index.put_image("a:1", &one, 7).unwrap();
    let names: Vec<_> = index.images().unwrap().into_iter().map(|row| (row.name, row.manifest, row.created)).collect();
    assert_eq!(names, [("a:1".to_owned(), one, 7), ("b:1".to_owned(), two, 6)]);
    assert!(index.remove_image("a:1").unwrap());
    assert!(!index.remove_image("a:1").unwrap());
    assert_eq!(index.image("a:1").unwrap(), None);
}

#[test]
fn a_layer_gains_forms_and_loses_them() {
    let (_folder, store) = store();
    let index = store.index();
    let id = LayerId::mint();
    let tree = |boot: Option<&str>| Some(TreeForm { boot: boot.map(str::to_owned) });
    let mut row = LayerRow { id: id.clone(), tree: tree(Some("boot")), blob: None, size: 0, created: 9 };
    index.put_layer(&row).unwrap();
    assert_eq!(index.layer(&id).unwrap().unwrap(), row);
    assert_eq!(row.clone().alive("boot"), Some(row.clone()));
    assert_eq!(row.clone().alive("next boot"), None);

    let digest = Digest::sha256(b"blob");
    let blob = BlobForm { digest, media_type: "application/x".to_owned(), size: 4 };
    index.put_layer(&LayerRow { tree: None, blob: Some(blob.clone()), size: 7, ..row.clone() }).unwrap();
    (row.blob, row.size) = (Some(blob), 7);
    assert_eq!(index.layer(&id).unwrap().unwrap(), row);
    assert_eq!(index.layer_by_blob(&digest).unwrap().unwrap().id, id);
    assert!(row.clone().alive("next boot").unwrap().tree.is_none());

    index.set_layers_synced(std::slice::from_ref(&id)).unwrap();
    assert_eq!(index.layer(&id).unwrap().unwrap().tree, tree(None));
    let diff_id = DiffId::new(digest);
    index.put_diff_id(&id, None, &diff_id, 7).unwrap();
    index.put_diff_id(&id, Some(0), &DiffId::new(Digest::sha256(b"clamped")), 8).unwrap();
    assert_eq!(index.diff_id(&id, None).unwrap(), Some((diff_id, 7)));
    assert_eq!(index.diff_id(&id, Some(0)).unwrap().unwrap().1, 8);
    assert_eq!(index.diff_id(&id, Some(1)).unwrap(), None);
    assert_eq!(index.layer_by_diff_id(&diff_id).unwrap(), Some(id.clone()));
    assert_eq!(index.layer_by_diff_id(&DiffId::new(Digest::sha256(b"clamped"))).unwrap(), None);

    index.drop_tree(&id).unwrap();
    assert!(index.layer(&id).unwrap().unwrap().tree.is_none());
    index.remove_layer(&id).unwrap();
    assert_eq!(index.layer(&id).unwrap(), None);
    assert_eq!(index.layer_by_diff_id(&diff_id).unwrap(), None);
}

#[test]
fn a_layer_with_no_form_left_is_gone() {
    let (_folder, store) = store();
    let id = LayerId::mint();
    let row = LayerRow { id: id.clone(), tree: Some(TreeForm { boot: None }), blob: None, size: 1, created: 1 };
    store.index().put_layer_with_diff_id(&row, &DiffId::new(Digest::sha256(b"d"))).unwrap();
    store.index().drop_tree(&id).unwrap();
    assert!(store.index().layers().unwrap().is_empty());
}

#[test]
fn compressed_forms_are_remembered() {
    let (_folder, store) = store();
    let diff_id = DiffId::new(Digest::sha256(b"d"));
    let variant =
        |kind: &str, bytes: &[u8]| Variant { media_type: kind.to_owned(), blob: Digest::sha256(bytes), size: 3 };
    store.index().put_variant(&diff_id, &variant("zstd", b"z")).unwrap();
    store.index().put_variant(&diff_id, &variant("gzip", b"old")).unwrap();
    store.index().put_variant(&diff_id, &variant("gzip", b"g")).unwrap();
    assert_eq!(store.index().variants(&diff_id).unwrap(), [variant("gzip", b"g"), variant("zstd", b"z")]);
    store.index().remove_variants(&[Digest::sha256(b"g")]).unwrap();
    assert_eq!(store.index().variants(&diff_id).unwrap().len(), 1);
}

#[test]
fn records_are_found_by_key_and_by_name() {
    let (_folder, store) = store();
    let index = store.index();
    let record = |preimage: &str, layers: usize| Record {
        layers: (0..layers).map(|_| LayerId::mint()).collect(),
        created: 3,
        preimage: preimage.to_owned(),
        vertex_name: "[2/3] RUN make".to_owned(),
    };
    let (one, two) = (record("op RUN make\narg A=1", 2), record("op RUN make\narg A=2", 0));
    let (key_one, key_two) = (Digest::sha256(b"k1"), Digest::sha256(b"k2"));
    index.put_records(&[(key_one, one.clone()), (key_two, two.clone())]).unwrap();
    assert_eq!(index.record(&key_one).unwrap(), Some(one.clone()));
    assert_eq!(index.record(&Digest::sha256(b"k3")).unwrap(), None);
    assert_eq!(index.previous_by_definition("[2/3] RUN make").unwrap(), Some((key_two, two)));
    assert_eq!(index.previous_by_definition("other").unwrap(), None);
    index.put_record(&key_one, &one).unwrap();
    assert_eq!(index.previous_by_definition("[2/3] RUN make").unwrap().unwrap().0, key_one);
    index.touch(&[key_one], 77).unwrap();
    let used: Vec<_> = index.records().unwrap().into_iter().map(|(key, _, used)| (key, used)).collect();
    assert_eq!(used, [(key_two, 3), (key_one, 77)]);
    index.remove_records(&[key_one, key_two]).unwrap();
    assert!(index.records().unwrap().is_empty());
}

#[test]
fn edges_are_replaced() {
    let (_folder, store) = store();
    let [parent, a, b] = [b"p", b"a", b"b"].map(|bytes| Digest::sha256(bytes));
    store.index().put_edges(&parent, &[a, b, a]).unwrap();
    assert_eq!(store.index().edges(&parent).unwrap().len(), 2);
    store.index().put_edges(&parent, &[b]).unwrap();
    assert_eq!(store.index().all_edges().unwrap(), [(parent, b)]);
    store.index().remove_edges(&[parent]).unwrap();
    assert!(store.index().edges(&parent).unwrap().is_empty());
}

#[test]
fn header_records_appear_whole() {
    let (_folder, store) = store();
    let id = LayerId::mint();
    assert_eq!(store.toc(&id).unwrap(), None);
    let failed = store.put_toc(&id, true, |out| {
        out.write_all(b"half")?;
        Err(std::io::Error::other("disk on fire"))
    });
    assert!(failed.unwrap_err().to_string().contains("disk on fire"));
    assert_eq!(fs::read_dir(store.layout().tocs()).unwrap().count(), 0);
    store.put_toc(&id, true, |out| out.write_all(b"whole")).unwrap();
    store.sync_tocs(std::slice::from_ref(&id)).unwrap();
    assert_eq!(store.toc(&id).unwrap().as_deref(), Some(&b"whole"[..]));
    assert!(store.remove_toc(&id).unwrap() && !store.remove_toc(&id).unwrap());
}

#[test]
fn the_root_follows_the_environment() {
    let root = |set: &[(&str, &str)], uid| {
        let set: Vec<(String, String)> = set.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        default_root(|name| set.iter().find(|(k, _)| k == name).map(|(_, v)| v.into()), uid)
            .map(|path| path.to_string_lossy().into_owned())
    };
    assert_eq!(root(&[("ESTIBA_ROOT", "/x"), ("HOME", "/h")], 0).as_deref(), Some("/x"));
    assert_eq!(root(&[("HOME", "/root")], 0).as_deref(), Some("/var/lib/estiba"));
    assert_eq!(root(&[("HOME", "/h"), ("XDG_DATA_HOME", "/d")], 7).as_deref(), Some("/d/estiba"));
    assert_eq!(root(&[("HOME", "/h"), ("XDG_DATA_HOME", "d")], 7).as_deref(), Some("/h/.local/share/estiba"));
    assert_eq!(root(&[], 7), None);
}

#[test]
fn layer_ids_are_file_names() {
    assert!(LayerId::mint().as_str().parse::<LayerId>().is_ok());
    for bad in ["", "..", "../../../../../../../../etc/passwd", "ABCDEF0123456789ABCDEF0123456789"] {
        assert!(bad.parse::<LayerId>().is_err());
    }
}
