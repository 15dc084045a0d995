//! `estiba referrers`, and copies that take what refers to an image along.

use serde_json::Value;

use crate::copy::odd;
use crate::registry::serve::Server;
use crate::runner::Env;

#[test]
fn what_refers_to_an_image_is_listed_and_copied() {
    let env = Env::new();
    odd(&env);
    env.write("sbom.json", "{}");
    let server = Server::start(&env, &[]);
    let at = |name: &str| format!("{}/{name}", server.address);
    env.ok(&["copy", "-q", "-a", "oci:odd:multi", &at("app:1")]);
    let sbom = env.ok(&[
        "attach",
        "-q",
        "--artifact-type",
        "application/spdx+json",
        &at("app:1"),
        "sbom.json:application/json",
    ]);
    let sbom = sbom.trim();
    env.ok(&[
        "attach",
        "-q",
        "--artifact-type",
        "example/mark",
        "--platform",
        "linux/s390x",
        "-a",
        "ok=yes",
        &at("app:1"),
    ]);
    let seal = env.ok(&["attach", "-q", "--artifact-type", "example/seal", &format!("{}@{sbom}", at("app"))]);
    let listed = env.ok(&["referrers", &at("app:1")]);
    assert_eq!(listed.lines().count(), 2, "{listed}");
    assert!(listed.contains(sbom) && listed.contains("application/spdx+json"), "{listed}");
    assert_eq!(env.ok(&["referrers", "--artifact-type", "example/none", &at("app:1")]).lines().count(), 1);
    assert!(env.ok(&["referrers", "--platform", "linux/s390x", &at("app:1")]).contains("example/mark"));
    env.ok(&["copy", "-q", "-a", "--referrers", &at("app:1"), &at("copy:1")]);
    env.ok(&["copy", "-q", "-a", "--referrers", &at("copy:1"), "oci:layout:1"]);
    env.ok(&["copy", "-q", "-a", "--referrers", "oci:layout:1", "oci-archive:a.tar:1"]);
    for place in [at("app:1"), at("copy:1"), "oci:layout:1".to_owned(), "oci-archive:a.tar:1".to_owned()] {
        let tree = env.ok(&["referrers", "--tree", &place]);
        let expected = format!("└── application/spdx+json {sbom}\n    └── example/seal {seal}");
        assert_eq!(tree.split_once('\n').unwrap().1, expected, "{place}");
        assert!(env.ok(&["referrers", "--platform", "linux/s390x", &place]).contains("example/mark"), "{place}");
    }
    let json: Value = serde_json::from_str(&env.ok(&["referrers", "--json", "--tree", &at("copy:1")])).unwrap();
    assert_eq!(json["referrers"][0]["referrers"][0]["artifactType"], "example/seal");
}
