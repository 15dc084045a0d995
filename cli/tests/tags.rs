//! `estiba tags`.

use crate::copy::odd;
use crate::registry::serve::Server;
use crate::runner::Env;

#[test]
fn all_some_and_for_machines() {
    let env = Env::new();
    odd(&env);
    let server = Server::start(&env, &[]);
    let name = format!("{}/team/app", server.address);
    for tag in ["1.0", "1.1", "2.0", "latest"] {
        env.ok(&["copy", "-q", "oci:odd:one", &format!("{name}:{tag}")]);
    }
    assert_eq!(env.ok(&["tags", &name]), "1.0\n1.1\n2.0\nlatest\n");
    assert_eq!(env.ok(&["list-tags", &format!("docker://{name}")]), "1.0\n1.1\n2.0\nlatest\n");
    assert_eq!(env.ok(&["tags", "--limit", "2", &name]), "1.0\n1.1\n");
    assert_eq!(env.ok(&["ls", "-n", "1", "--last", "1.1", &name]), "2.0\n");
    assert_eq!(
        env.ok(&["tags", "--json", "--last", "2.0", &name]),
        format!("{{\"name\":\"{name}\",\"tags\":[\"latest\"]}}\n")
    );
    let tagged = env.fails(125, &["tags", &format!("{name}:1.0")]);
    assert!(tagged.contains(&format!(" hint: `estiba tags {name}`")), "{tagged}");
    let absent = env.fails(1, &["tags", &format!("{}/absent", server.address)]);
    assert!(
        absent.contains("404") && absent.contains("is the right name") | absent.contains("right name?"),
        "{absent}"
    );
    assert!(env.fails(125, &["tags", "oci:odd"]).contains("works on registries"));
}
