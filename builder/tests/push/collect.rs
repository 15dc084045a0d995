//! Compressed forms go when they are not wanted any more.

use std::time::Duration;

use builder::gc::{PruneOptions, prune, usage};

use crate::rig::{Rig, Running, noise};

#[test]
fn forms_go_with_their_layer_or_when_room_is_wanted() {
    let (rig, registry) = (Rig::new(), Running::start());
    let [one, two] = [7, 8].map(|seed| rig.image(&[&noise(1 << 20, seed)]));
    let forms = || rig.store.compressed_forms().unwrap();
    for (image, tag) in [(&one, "one"), (&two, "two")] {
        rig.store.index().put_image(&format!("docker.io/library/{tag}:latest"), image, 0).unwrap();
        rig.push(image, &registry.name(&format!("app:{tag}"))).unwrap();
        std::thread::sleep(Duration::from_millis(20));
    }
    let oldest = forms()[0].0;
    assert!(usage(&rig.store).unwrap().rows.iter().any(|row| row.size >= 2 << 20));
    prune(&rig.store, &PruneOptions::default()).unwrap();
    assert_eq!(forms().len(), 2, "images need them");
    // Room is made by what was used longest ago.
    let total: u64 = usage(&rig.store).unwrap().rows.iter().map(|row| row.size).sum();
    let room = PruneOptions { keep_storage: Some(total - (1 << 19)), ..PruneOptions::default() };
    let dry = prune(&rig.store, &PruneOptions { dry_run: true, ..room.clone() }).unwrap();
    assert!(dry.bytes >= 1 << 20 && forms().len() == 2, "{dry:?}");
    prune(&rig.store, &room).unwrap();
    assert!(forms().len() == 1 && forms()[0].0 != oldest);
    let forget = PruneOptions { forget: vec!["docker.io/library/two:latest".to_owned()], ..PruneOptions::default() };
    prune(&rig.store, &forget).unwrap();
    assert!(forms().is_empty());
    rig.push(&one, &registry.name("again:one")).unwrap();
    // It was mounted: nothing was made.
    assert!(forms().is_empty());
    prune(&rig.store, &PruneOptions { all: true, ..PruneOptions::default() }).unwrap();
}
