//! Databases of other versions of the program.

use rusqlite::Connection;

use super::*;

/// What the program of version 0 wrote: its tables, two repositories below `team`, and an image with a signature.
const VERSION_0: &str = include_str!("version-0.sql");

#[test]
fn an_older_database_is_led_to_the_newest_version() {
    let root = TempDir::new().unwrap();
    let old = Connection::open(root.path().join(DATABASE)).unwrap();
    old.execute_batch(VERSION_0).unwrap();
    drop(old);
    let metadata = SqliteMetadata::open(root.path()).unwrap();
    assert_eq!(metadata.check().unwrap(), [""; 0]);
    let image = metadata.tag(&name("team/app"), &"v1".parse().unwrap()).unwrap().unwrap().digest;
    let all = Page { after: None, limit: 10 };
    assert_eq!(metadata.referrers(&name("team/app"), &image, Some("example/signature"), all).unwrap().len(), 1);
    // The quota counts what was there before: 107 + 7 bytes below `team`.
    let quota = |limit| [Quota { prefix: "team".to_owned(), limit }];
    let link = |limit| metadata.link_blob(&name("team/new"), &blob("x"), &quota(limit), Instant(9));
    match link(114) {
        Err(Error::Quota { used, .. }) => assert_eq!(used, 114),
        other => panic!("{other:?}"),
    }
    link(115).unwrap();
    drop(metadata);
    let version = |row: &rusqlite::Row<'_>| row.get::<_, i64>(0);
    let connection = Connection::open(root.path().join(DATABASE)).unwrap();
    assert_eq!(connection.query_row("PRAGMA user_version", [], version).unwrap(), 1);
    // It has the tables that a new one has.
    let fresh = TempDir::new().unwrap();
    drop(SqliteMetadata::open(fresh.path()).unwrap());
    let tables = |connection: &Connection| -> Vec<String> {
        let sql = "SELECT name FROM sqlite_schema WHERE name NOT LIKE 'sqlite_stat%' ORDER BY name";
        let mut statement = connection.prepare(sql).unwrap();
        statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
    };
    assert_eq!(tables(&connection), tables(&Connection::open(fresh.path().join(DATABASE)).unwrap()));
}

#[test]
fn a_newer_database_is_refused_and_left_alone() {
    for file in [DATABASE, UPLOADS] {
        let root = TempDir::new().unwrap();
        drop(filled(&root));
        let connection = Connection::open(root.path().join(file)).unwrap();
        connection.pragma_update(None, "user_version", 7).unwrap();
        drop(connection);
        match SqliteMetadata::open(root.path()) {
            Err(Error::Version(message)) => {
                assert!(message.contains(file) && message.contains("schema 7"), "{message}");
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn what_is_no_database_is_an_error() {
    let root = TempDir::new().unwrap();
    std::fs::write(root.path().join(DATABASE), "not a database, but long enough to look at it twice".repeat(50))
        .unwrap();
    assert!(matches!(SqliteMetadata::open(root.path()), Err(Error::Database(_))));
}
