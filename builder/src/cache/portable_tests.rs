use super::*;
use proptest::prelude::*;

const LAYER: &str = media_type::OCI_LAYER_GZIP;

fn digest(text: &str) -> Digest {
    Digest::sha256(text.as_bytes())
}

/// A cache of two layers and one result.
fn written(change: impl FnOnce(&mut Manifest, &mut ImageConfig, &mut Field)) -> (Vec<u8>, Vec<u8>) {
    let facts = |size| Facts { size, created: 7, epoch: None };
    let record = Record { key: digest("key"), layers: vec![Some(0), None, Some(1)], created: 9 };
    let mut field = Field::new(vec![facts(10), facts(20)], vec![record]);
    let diff_ids = ["one", "two"].map(|name| DiffId::new(digest(name))).to_vec();
    let mut manifest = manifest(
        Descriptor::new(media_type::OCI_CONFIG, digest("config"), 1),
        ["a", "b"].map(|name| Descriptor::new(LAYER, digest(name), 3)).to_vec(),
    );
    let mut config = config(&Platform::host(), diff_ids, &field).unwrap();
    change(&mut manifest, &mut config, &mut field);
    config.extra.insert(FIELD.to_owned(), field.to_value().unwrap());
    (serde_json::to_vec(&manifest).unwrap(), serde_json::to_vec(&config).unwrap())
}

#[test]
fn what_is_written_is_read() {
    let (manifest, config) = written(|_, _, _| {});
    let cache = Cache::read(&manifest, &config).unwrap();
    let (layers, created) = cache.find(&digest("key")).unwrap();
    let names: Vec<_> = layers.iter().map(|layer| layer.map(|layer| layer.blob.digest)).collect();
    assert_eq!((names, created), (vec![Some(digest("a")), None, Some(digest("b"))], 9));
    assert!(cache.find(&digest("other")).is_none());
}

#[test]
fn lies_are_seen() {
    type Change = fn(&mut Manifest, &mut ImageConfig, &mut Field);
    let lies: [(&str, Change); 9] = [
        ("fewer layers than facts", |manifest, _, _| drop(manifest.layers.pop())),
        ("fewer DiffIds", |_, config, _| config.rootfs.diff_ids.truncate(1)),
        ("fewer facts", |_, _, field| field.layers.truncate(field.layers.len() - 1)),
        ("a layer that is not there", |_, _, field| field.records[0].layers[0] = Some(2)),
        ("a time before time", |_, _, field| field.records[0].created = -1),
        ("a time after time", |_, _, field| field.layers[0].created = i64::MAX),
        ("an impossible size", |manifest, _, _| manifest.layers[0].size = u64::MAX),
        ("an impossible tar", |_, _, field| field.layers[1].size = u64::MAX),
        ("something else than a layer", |manifest, _, _| manifest.layers[0].media_type = "text/html".to_owned()),
    ];
    for (what, lie) in lies {
        let (manifest, config) = written(lie);
        assert!(matches!(Cache::read(&manifest, &config), Err(PortableError::Lies(_))), "{what}");
    }
    let (manifest, config) = written(|_, _, field| field.version = 2);
    assert!(matches!(Cache::read(&manifest, &config), Err(PortableError::Version(2))));
    let (manifest, config) = written(|_, _, field| field.records[0].layers = vec![None; MAX_CHAIN + 1]);
    assert!(matches!(Cache::read(&manifest, &config), Err(PortableError::Lies(_))));
}

#[test]
fn other_formats_are_named() {
    let (manifest, _) = written(|_, _, _| {});
    let plain = br#"{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]}}"#;
    assert!(matches!(Cache::read(&manifest, plain), Err(PortableError::NoCache)));
    let theirs = br#"{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]},"moby.buildkit.cache.v0":"bnVsbA=="}"#;
    assert!(matches!(Cache::read(&manifest, theirs), Err(PortableError::BuildKit)));
}

proptest! {
    /// Whatever stands in the field, it is read or refused.
    #[test]
    fn no_field_breaks_the_reader(layers in proptest::collection::vec(any::<Option<u32>>(), 0..8), size: u64, time: i64) {
        let (manifest, config) = written(|_, _, field| {
            field.records[0].layers = layers;
            field.layers[0].size = size;
            field.records[0].created = time;
        });
        if let Ok(cache) = Cache::read(&manifest, &config) {
            let (layers, _) = cache.find(&digest("key")).unwrap();
            prop_assert!(layers.len() < 8);
        }
    }
}
