//! Hosted registries, each with a server that has its habits: what the table says of them is enough to push there.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::Method;
use oci::Digest;
use remote::{Accept, BytesSource, Client, Error, How, Quirk, Repository, UploadOptions};

use crate::host::{Host, Reply, Seen, noise};
use crate::quick;

const MIB: usize = 1 << 20;

/// How a registry of uploads differs.
#[derive(Clone, Copy, Default)]
struct Habits {
    /// A larger chunk is answered by 416.
    largest_chunk: Option<usize>,
    /// A chunk is answered by 201 instead of 202.
    created: bool,
    /// The range of a session tells nothing of the last chunk.
    behind: bool,
    /// Mounts are answered by an error instead of an upload.
    no_mounts: bool,
}

/// A registry with habits, and what was pushed to it.
async fn hosted(habits: Habits) -> (Host, Arc<Mutex<Vec<Bytes>>>) {
    let pushed = Arc::<Mutex<Vec<Bytes>>>::default();
    let (kept, session) = (Arc::clone(&pushed), Mutex::new((Vec::new(), 0)));
    let host = Host::start(move |seen| answer(habits, seen, &mut session.lock().unwrap(), &kept)).await;
    (host, pushed)
}

fn answer(habits: Habits, seen: &Seen, session: &mut (Vec<u8>, usize), kept: &Mutex<Vec<Bytes>>) -> Reply {
    let (bytes, before) = session;
    let at = |reply: Reply, shown: usize| {
        reply.header("location", "/v2/a/blobs/uploads/1").header("range", format!("0-{}", shown.saturating_sub(1)))
    };
    match seen.method.as_str() {
        "HEAD" => Reply::new(404, ""),
        "POST" if habits.no_mounts && seen.path.contains("mount=") => Reply::new(400, ""),
        "POST" => {
            bytes.clear();
            at(Reply::new(202, ""), 0)
        }
        "GET" => at(Reply::new(204, ""), if habits.behind { *before } else { bytes.len() }),
        "PATCH" | "PUT" => {
            let first = seen.header("content-range").split('-').next().and_then(|text| text.parse().ok());
            let too_large = habits.largest_chunk.is_some_and(|most| seen.body.len() > most);
            if too_large || first.is_some_and(|first: usize| first != bytes.len()) {
                return at(Reply::new(416, ""), bytes.len());
            }
            *before = bytes.len();
            bytes.extend_from_slice(&seen.body);
            if seen.method == Method::PUT {
                let whole = Bytes::from(std::mem::take(bytes));
                let named = seen.path.contains(&Digest::sha256(&whole).hex());
                kept.lock().unwrap().push(whole);
                return Reply::new(if named { 201 } else { 400 }, "");
            }
            at(
                Reply::new(if habits.created { 201 } else { 202 }, ""),
                if habits.behind { *before } else { bytes.len() },
            )
        }
        _ => Reply::new(404, ""),
    }
}

/// The client believes that this is the registry of a name.
fn named(host: &Host, name: &str) -> Repository {
    let client = Client::new(quick());
    client.registry_at(name, &host.url().parse().unwrap()).unwrap().repository(&"a".parse().unwrap())
}

async fn push(repository: &Repository, bytes: &Bytes, options: &UploadOptions) {
    let source = BytesSource::new(Digest::sha256(bytes), bytes.clone());
    let uploaded = repository.upload(&source, options, &|_| ()).await.unwrap();
    assert_eq!((uploaded.how, uploaded.size), (How::Sent, bytes.len() as u64));
}

#[tokio::test]
async fn ghcr_takes_chunks_of_4_mib() {
    let bytes = noise(9 * MIB + 5, 1);
    // Also where the user asks for larger ones.
    for chunk in [None, Some(8 << 20)] {
        let (host, pushed) = hosted(Habits { largest_chunk: Some(4 * MIB), ..Habits::default() }).await;
        push(&named(&host, "ghcr.io"), &bytes, &UploadOptions { chunk, ..UploadOptions::default() }).await;
        assert!(pushed.lock().unwrap()[..] == [bytes.clone()]);
        assert!(host.seen().iter().all(|seen| seen.body.len() <= 4 * MIB));
        assert!(host.count(Method::PATCH, "uploads") <= 3);
    }
}

#[tokio::test]
async fn ecr_says_201_and_counts_late() {
    let habits = Habits { created: true, behind: true, ..Habits::default() };
    for name in ["public.ecr.aws", "123456789012.dkr.ecr.eu-west-1.amazonaws.com"] {
        for chunk in [None, Some(5 << 20)] {
            let bytes = noise(11 * MIB, 2);
            let (host, pushed) = hosted(habits).await;
            push(&named(&host, name), &bytes, &UploadOptions { chunk, ..UploadOptions::default() }).await;
            assert!(pushed.lock().unwrap()[..] == [bytes], "{name} {chunk:?}");
        }
    }
}

#[tokio::test]
async fn a_registry_that_knows_no_mounts_is_sent_the_blob() {
    let bytes = noise(3 * MIB, 3);
    let (host, pushed) = hosted(Habits { no_mounts: true, ..Habits::default() }).await;
    let options = UploadOptions { mounts: vec!["base".parse().unwrap()], ..UploadOptions::default() };
    push(&named(&host, "registry.example"), &bytes, &options).await;
    assert!(pushed.lock().unwrap()[..] == [bytes]);
}

#[tokio::test]
async fn docker_hub_counts_calls_and_says_when_to_come_back() {
    let limited = |wait: Option<&'static str>| {
        Host::start(move |_| {
            let body = r#"{"errors":[{"code":"TOOMANYREQUESTS","message":"You have reached your unauthenticated pull rate limit."}]}"#;
            let reply = Reply::new(429, body)
                .header("ratelimit-limit", "100;w=21600")
                .header("ratelimit-remaining", "0;w=21600")
                .header("docker-ratelimit-source", "192.0.2.7");
            wait.map_or(reply.clone(), |wait| reply.header("retry-after", wait))
        })
    };
    let ask = async |host: &Host| {
        let repository = named(host, "docker.io");
        repository.manifest_by_tag(&"latest".parse().unwrap(), &Accept::default()).await.unwrap_err()
    };
    let far = limited(Some("3000")).await;
    let error = ask(&far).await;
    assert_eq!(far.seen().len(), 1, "who is told to wait an hour does not knock");
    let text = error.to_string();
    assert!(
        text.contains("docker.io/a") && text.contains("come back in 50 min") && text.contains("pull rate limit"),
        "{text}"
    );
    let silent = limited(None).await;
    let Error::Status { rate_limit: Some(limit), .. } = ask(&silent).await else { panic!("no limit was read") };
    assert_eq!((limit.limit, limit.remaining), (Some(100), 0));
    assert!(ask(&silent).await.to_string().contains("the limit of 100 calls in 6 h is used up"));
}

#[test]
fn each_row_has_its_server() {
    // Whoever adds a row adds a test above, and its name here.
    let mut tested = ["docker.io", "ghcr.io", "public.ecr.aws", "*.amazonaws.com"];
    tested.sort_unstable();
    let mut rows: Vec<_> = Quirk::all().iter().map(|row| row.registry).collect();
    rows.sort_unstable();
    assert_eq!(rows, tested);
}
