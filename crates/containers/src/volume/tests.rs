use super::*;

fn volumes() -> (tempfile::TempDir, Volumes) {
    let dir = tempfile::tempdir().unwrap();
    let volumes = Volumes::new(&Layout::new(&store::Layout::new(dir.path())));
    (dir, volumes)
}

#[test]
fn a_volume_is_made_once_found_listed_and_removed() {
    let (_dir, volumes) = volumes();
    assert!(volumes.list().unwrap().is_empty());
    let labels = BTreeMap::from([("a".to_owned(), "b".to_owned())]);
    let made = volumes.create("data", labels, BTreeMap::new()).unwrap();
    assert_eq!(volumes.create("data", BTreeMap::new(), BTreeMap::new()).unwrap(), made);
    assert_eq!(volumes.list().unwrap(), [made]);
    fs::write(volumes.data("data").join("f"), "x").unwrap();
    assert!(volumes.fresh("data").exists());
    volumes.remove("data", false).unwrap();
    assert!(matches!(volumes.remove("data", false), Err(VolumeError::Absent(_))));
    assert!(volumes.list().unwrap().is_empty());
}

#[test]
fn names_never_leave_the_folder() {
    let (dir, volumes) = volumes();
    fs::create_dir_all(dir.path().join("elsewhere/_data")).unwrap();
    fs::write(dir.path().join("elsewhere/volume.json"), "{}").unwrap();
    for bad in ["../elsewhere", "..", ".", "/etc", "a/b", "", ".hidden", "a\nb"] {
        assert!(matches!(volumes.create(bad, BTreeMap::new(), BTreeMap::new()), Err(VolumeError::Name(_))), "{bad}");
        assert!(volumes.find(bad).unwrap().is_none(), "{bad}");
        assert!(volumes.remove(bad, true).is_err(), "{bad}");
    }
    assert!(dir.path().join("elsewhere/_data").exists());
}

#[test]
fn other_options_are_no_same_volume() {
    let (_dir, volumes) = volumes();
    let options = BTreeMap::from([("type".to_owned(), "tmpfs".to_owned())]);
    volumes.create("mem", BTreeMap::new(), options.clone()).unwrap();
    volumes.create("mem", BTreeMap::new(), options).unwrap();
    let other = BTreeMap::from([("o".to_owned(), "bind".to_owned()), ("device".to_owned(), "/".to_owned())]);
    assert!(matches!(volumes.create("mem", BTreeMap::new(), other), Err(VolumeError::Differs(_))));
    let wrong = BTreeMap::from([("type".to_owned(), "nfs".to_owned())]);
    assert!(matches!(volumes.create("nfs", BTreeMap::new(), wrong), Err(VolumeError::Option { .. })));
}

#[test]
fn a_volume_stays_while_it_is_not_known_who_uses_it() {
    let (_dir, volumes) = volumes();
    volumes.create("data", BTreeMap::new(), BTreeMap::new()).unwrap();
    let container = volumes.layout.container(&ContainerId::random().unwrap());
    fs::create_dir_all(container.path()).unwrap();
    // One that has no settings yet names none.
    assert!(volumes.users().unwrap().is_empty());
    fs::write(container.config(), "{\"version\":").unwrap();
    let said = volumes.remove("data", false).unwrap_err().to_string();
    assert!(said.contains("cannot be read") && said.contains("estiba rm -f"), "{said}");
    assert!(volumes.data("data").exists());
    volumes.remove("data", true).unwrap();
}
