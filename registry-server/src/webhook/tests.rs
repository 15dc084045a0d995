//! Deliveries to a real receiver.

use std::sync::Mutex;
use std::time::Duration;

use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::metadata::SqliteMetadata;

/// What was posted: head and body.
type Posts = Arc<Mutex<Vec<(String, serde_json::Value)>>>;

/// A receiver that answers each post with the next of its answers, the last one forever.
async fn receiver(listener: TcpListener, answers: &'static [&'static str]) -> Posts {
    let posts: Posts = Posts::default();
    let kept = Arc::clone(&posts);
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let (mut bytes, mut buffer) = (Vec::new(), [0; 8192]);
            let (head, body) = loop {
                let length = stream.read(&mut buffer).await.unwrap();
                assert!(length > 0);
                bytes.extend_from_slice(&buffer[..length]);
                let text = String::from_utf8_lossy(&bytes);
                let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
                if let Ok(body) = serde_json::from_str(body) {
                    break (head.to_lowercase(), body);
                }
            };
            let answer = {
                let mut posts = kept.lock().unwrap();
                posts.push((head, body));
                answers[(posts.len() - 1).min(answers.len() - 1)]
            };
            let answer = format!("HTTP/1.1 {answer}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    posts
}

struct Setting {
    root: TempDir,
    metadata: Arc<dyn Metadata>,
    config: Webhook,
    stop: CancellationToken,
}

impl Setting {
    fn new(endpoints: &str) -> Self {
        let root = tempfile::tempdir().unwrap();
        let metadata: Arc<dyn Metadata> = Arc::new(SqliteMetadata::open(root.path()).unwrap());
        let config = toml::from_str(endpoints).unwrap();
        Self { root, metadata, config, stop: CancellationToken::new() }
    }

    fn events(&self) -> Events {
        Events::new(Arc::clone(&self.metadata), &self.config, "https://r.example")
    }

    fn work(&self, events: &Events) -> tokio::task::JoinHandle<()> {
        let worker = Worker::new(&self.config, events, Arc::default(), self.root.path()).unwrap().unwrap();
        tokio::spawn(worker.run(self.stop.clone()))
    }

    async fn until_empty(&self) {
        for _ in 0..1000 {
            if self.metadata.pending_events().unwrap() == 0 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("{} events wait", self.metadata.pending_events().unwrap());
    }
}

fn tag(name: &str) -> Event {
    let digest = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855".parse().unwrap();
    Event::TagCreated { tag: name.parse().unwrap(), digest }
}

async fn listener() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hook?key=s3cret", listener.local_addr().unwrap());
    (listener, url)
}

fn subjects(posts: &Posts) -> Vec<String> {
    posts.lock().unwrap().iter().map(|(_, body)| body["subject"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn filtered_signed_and_in_order() {
    let (socket, url) = listener().await;
    let keys = tempfile::tempdir().unwrap();
    let key = keys.path().join("key");
    std::fs::write(&key, "Jefe\n").unwrap();
    let setting = Setting::new(&format!(
        "[[endpoint]]\nurl = \"{url}\"\nname = \"ci\"\nevents = [\"tag.*\", \"manifest.*\"]\nrepositories = [\"team/**\"]\n\
         secret_file = \"{}\"\nheaders = {{ Authorization = \"Bearer x\" }}\n",
        key.display()
    ));
    let posts = receiver(socket, &["204 No Content"]).await;
    let events = setting.events();
    assert!(events.wants(Kind::TagCreated) && !events.wants(Kind::BlobPushed));
    assert!(!events.wants(Kind::ManifestPulled), "pulls must be named");
    let worker = setting.work(&events);
    let team: RepositoryName = "team/a/b".parse().unwrap();
    let at = Instant(1_700_000_000_000);
    for number in 0..20 {
        events.record(&team, "user:ann", at, &[tag(&format!("t{number:02}")), Event::RepositoryCreated]).unwrap();
    }
    events.record(&"other".parse().unwrap(), "user:ann", at, &[tag("no")]).unwrap();
    setting.until_empty().await;
    setting.stop.cancel();
    worker.await.unwrap();
    let expected: Vec<_> = (0..20).map(|number| format!("team/a/b:t{number:02}")).collect();
    assert_eq!(subjects(&posts), expected);
    let posts = posts.lock().unwrap();
    let (head, body) = &posts[0];
    assert!(head.starts_with("post /hook?key=s3cret http/1.1\r\n"), "{head}");
    for line in [
        "content-type: application/cloudevents+json; charset=utf-8",
        "authorization: bearer x",
        "x-estiba-signature: sha256=",
    ] {
        assert!(head.contains(line), "{head}");
    }
    assert_eq!((&body["specversion"], &body["source"]), (&"1.0".into(), &"https://r.example".into()));
    let ids: std::collections::BTreeSet<_> = posts.iter().map(|(_, body)| body["id"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn tried_again_with_the_same_id_and_no_redirect_followed() {
    let (socket, url) = listener().await;
    let (elsewhere, elsewhere_url) = listener().await;
    let reached = receiver(elsewhere, &["200 OK"]).await;
    let setting = Setting::new(&format!("[[endpoint]]\nurl = \"{url}\"\n"));
    let redirect: &'static str = Box::leak(format!("302 Found\r\nLocation: {elsewhere_url}").into_boxed_str());
    let answers: &'static [&'static str] =
        Box::leak(vec![redirect, "429 Too Many Requests\r\nRetry-After: 2", "200 OK"].into_boxed_slice());
    let posts = receiver(socket, answers).await;
    let events = setting.events();
    let worker = setting.work(&events);
    let begun = std::time::Instant::now();
    let repository: RepositoryName = "a".parse().unwrap();
    events.record(&repository, "local", Instant::now(), &[tag("first"), tag("second")]).unwrap();
    setting.until_empty().await;
    assert!(begun.elapsed() > Duration::from_millis(2700), "{:?}", begun.elapsed());
    assert_eq!(subjects(&posts), ["a:first", "a:first", "a:first", "a:second"]);
    let ids: Vec<_> = posts.lock().unwrap().iter().map(|(_, body)| body["id"].clone()).collect();
    assert!(ids[0] == ids[1] && ids[1] == ids[2] && ids[2] != ids[3], "{ids:?}");
    assert!(reached.lock().unwrap().is_empty());
    setting.stop.cancel();
    worker.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_survives_the_process() {
    let (socket, url) = listener().await;
    let address = socket.local_addr().unwrap();
    drop(socket);
    let setting = Setting::new(&format!("[[endpoint]]\nurl = \"{url}\"\n"));
    let events = setting.events();
    let worker = setting.work(&events);
    events.record(&"a".parse().unwrap(), "local", Instant::now(), &[tag("first")]).unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;
    worker.abort();
    assert_eq!(setting.metadata.pending_events().unwrap(), 1);
    let posts = receiver(TcpListener::bind(address).await.unwrap(), &["200 OK"]).await;
    let again = setting.events();
    let worker = setting.work(&again);
    setting.until_empty().await;
    assert_eq!(subjects(&posts), ["a:first"]);
    setting.stop.cancel();
    worker.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_takes_is_buried() {
    let (socket, url) = listener().await;
    let setting = Setting::new(&format!("give_up = \"1h\"\n[[endpoint]]\nurl = \"{url}\"\n"));
    let posts = receiver(socket, &["500 Internal Server Error", "410 Gone", "200 OK"]).await;
    let events = setting.events();
    let old = Instant::now().before(Duration::from_secs(7200));
    let repository: RepositoryName = "a".parse().unwrap();
    events.record(&repository, "local", old, &[tag("old")]).unwrap();
    events.record(&repository, "local", Instant::now(), &[tag("gone"), tag("fine")]).unwrap();
    let mut renamed = setting.config.clone();
    renamed.endpoint[0].name = Some("gone from the file".to_owned());
    let other = Events::new(Arc::clone(&setting.metadata), &renamed, "x");
    other.record(&repository, "local", Instant::now(), &[tag("unknown")]).unwrap();
    let worker = setting.work(&events);
    setting.until_empty().await;
    assert_eq!(subjects(&posts), ["a:old", "a:gone", "a:fine"]);
    setting.stop.cancel();
    worker.await.unwrap();
    let text = std::fs::read_to_string(setting.root.path().join("dead-letters.jsonl")).unwrap();
    let mut reasons: Vec<_> = text
        .lines()
        .map(|line| {
            let line: serde_json::Value = serde_json::from_str(line).unwrap();
            format!("{}: {}", line["letter"]["event"]["subject"].as_str().unwrap(), line["reason"].as_str().unwrap())
        })
        .collect();
    reasons.sort();
    let expected = [
        "a:gone: the endpoint answered 410 Gone",
        "a:old: the endpoint answered 500 Internal Server Error",
        "a:unknown: the configuration has no such endpoint",
    ];
    assert_eq!(reasons, expected);
}
