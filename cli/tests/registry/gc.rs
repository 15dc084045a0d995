//! `estiba registry gc`.

use std::io::{Read, Write};
use std::net::TcpStream;

use super::serve::Server;
use crate::runner::Env;

/// Uploads a blob of one letter a.
fn push_blob(server: &Server) {
    let digest = "sha256:ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb";
    let mut stream = TcpStream::connect(&server.address).unwrap();
    let head = format!("POST /v2/a/blobs/uploads/?digest={digest} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n");
    write!(stream, "{head}Content-Length: 1\r\n\r\na").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 201"), "{answer}");
}

#[test]
fn it_works_beside_the_server_and_without() {
    let env = Env::new();
    let gc = |arguments: &[&str]| env.run(&[&["registry", "gc", "--root", "registry"], arguments].concat());
    assert!(gc(&[]).stderr.contains("holds no registry"));
    let server = Server::start(&env, &[]);
    push_blob(&server);
    assert_eq!(gc(&[]).stdout, "Total reclaimed space: 0B\n", "younger than the grace");
    let refused = gc(&["--grace", "1s"]);
    assert!(refused.code == 1 && refused.stderr.contains("needs at least 12h"), "{refused:?}");
    assert!(gc(&["--grace", "soon"]).stderr.contains("not a time"));
    assert_eq!(server.stop().0, Some(0));
    std::thread::sleep(std::time::Duration::from_millis(20));
    let dry = gc(&["--grace", "0s", "--dry-run"]);
    assert_eq!(
        dry.stdout, "would remove 1 blobs of repositories\nwould remove 1 objects\nTotal reclaimable space: 1B\n",
        "{dry:?}"
    );
    assert_eq!(
        gc(&["--grace", "0s"]).stdout,
        dry.stdout.replace("would remove", "removed").replace("reclaimable", "reclaimed")
    );
    assert_eq!(gc(&["--grace", "0s"]).stdout, "Total reclaimed space: 0B\n");
}
