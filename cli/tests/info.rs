//! `estiba info`.

use crate::runner::Env;

#[test]
fn fields_for_people_and_scripts() {
    let env = Env::new();
    assert!(env.ok(&["info"]).contains("Privileges:"));
    assert_eq!(env.ok(&["info", "--format", "{{.OSType}} {{.Images}}"]), "linux 0\n");
}
