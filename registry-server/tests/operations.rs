//! What whoever runs a registry relies on: figures, health, limits, traces, events.

use std::sync::{Arc, Mutex};

use registry_server::auth::Anonymous;
use registry_server::control::{COMMANDS, Client, Collect, Running, Service, Status};
use registry_server::observe::side::Side;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::harness::Harness;

/// A server that keeps what is posted to it, heads and bodies, and says yes.
async fn listener() -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let posts = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&posts);
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let (mut bytes, mut buffer) = (Vec::new(), [0; 8192]);
            loop {
                let length = stream.read(&mut buffer).await.unwrap();
                bytes.extend_from_slice(&buffer[..length]);
                let text = String::from_utf8_lossy(&bytes).to_lowercase();
                let Some((head, _)) = text.split_once("\r\n\r\n") else { continue };
                let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
                if bytes.len() >= head.len() + 4 + length.parse::<usize>().unwrap() {
                    break;
                }
            }
            kept.lock().unwrap().push(String::from_utf8_lossy(&bytes).into_owned());
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").await.unwrap();
        }
    });
    (url, posts)
}

#[tokio::test(flavor = "multi_thread")]
async fn figures_of_what_happened() {
    let harness = Harness::start().await;
    harness.push_image("team/app", "latest", "layer").await;
    assert_eq!(harness.get("/v2/team/app/manifests/latest").await.status, 200);
    assert_eq!(harness.get("/v2/team/app/manifests/absent").await.status, 404);
    assert_eq!(harness.get("/v2/team/app/%2e%2e/evil").await.status, 404);
    let answer = harness.get("/metrics").await;
    assert_eq!(answer.status, 200);
    assert!(answer.header("content-type").starts_with("application/openmetrics-text"));
    let text = String::from_utf8(answer.body.to_vec()).unwrap();
    for line in [
        r#"estiba_registry_requests_total{endpoint="manifest.get",method="GET",status="200"} 1"#,
        r#"estiba_registry_requests_total{endpoint="manifest.get",method="GET",status="404"} 1"#,
        r#"estiba_registry_requests_total{endpoint="manifest.put",method="PUT",status="201"} 1"#,
        r#"estiba_registry_requests_total{endpoint="upload.begin",method="POST",status="201"} 2"#,
        r#"estiba_registry_requests_total{endpoint="none",method="GET",status="404"} 1"#,
        "estiba_registry_requests_in_flight 1",
    ] {
        assert!(text.lines().any(|other| other == line), "{line}\n{text}");
    }
    assert!(!text.contains("team") && !text.contains("evil"), "names of clients are no labels");
    let value = |name: &str| -> u64 {
        text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')).unwrap().parse().unwrap()
    };
    assert!(value("estiba_registry_received_bytes_total") > 100 && value("estiba_registry_sent_bytes_total") > 100);
    harness.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn figures_are_for_administrators() {
    let harness = Harness::with(|config| config.auth.anonymous = Some(Anonymous::Pull)).await;
    assert_eq!(harness.get("/metrics").await.status, 403);
    for path in ["/healthz", "/readyz"] {
        let answer = harness.get(path).await;
        assert_eq!((answer.status, &answer.body[..]), (200, &b"ok\n"[..]), "{path}");
    }
    let off = Harness::with(|config| config.metrics.enabled = false).await;
    assert_eq!(off.get("/metrics").await.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_of_their_own() {
    let harness = Harness::with(|config| config.metrics.address = Some("127.0.0.1:0".parse().unwrap())).await;
    let side = Side::bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let address = side.address().unwrap();
    tokio::spawn(side.run(Arc::clone(&harness.registry)));
    let ask = async |path: &str| {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(format!("GET {path} HTTP/1.0\r\n\r\n").as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    };
    assert!(ask("/metrics").await.contains("estiba_registry_connections "));
    assert!(ask("/readyz").await.ends_with("ok\n"));
    assert!(ask("/v2/").await.starts_with("HTTP/1.0 404"));
    assert_eq!(harness.get("/metrics").await.status, 404);
    harness.registry.stop.cancel();
    let ready = ask("/readyz").await;
    assert!(ready.starts_with("HTTP/1.0 503") && ready.ends_with("it is ending\n"), "{ready}");
    assert!(ask("/healthz").await.ends_with("ok\n"), "alive until the end");
}

#[tokio::test(flavor = "multi_thread")]
async fn so_many_requests_a_second() {
    let harness = Harness::with(|config| {
        config.server.limits.rate = 1;
        config.server.limits.burst = 3;
    })
    .await;
    let mut statuses = Vec::new();
    for _ in 0..5 {
        statuses.push(harness.get("/v2/").await.status);
    }
    assert_eq!(statuses[..3], [200, 200, 200]);
    let refused = harness.get("/v2/").await;
    assert_eq!((refused.refusal().as_str(), refused.header("retry-after")), ("429 TOOMANYREQUESTS", "1"));
    assert_eq!(harness.get("/healthz").await.status, 200, "those who watch are always answered");
    tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
    assert_eq!(harness.get("/v2/").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn so_many_requests_at_once() {
    let harness = Harness::with(|config| config.server.limits.requests_per_principal = 1).await;
    // A request that is not over yet: its body does not come.
    let mut slow = TcpStream::connect(harness.address).await.unwrap();
    let digest = oci::Digest::sha256(b"x");
    let head = format!("POST /v2/a/blobs/uploads/?digest={digest} HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\n");
    slow.write_all(head.as_bytes()).await.unwrap();
    for _ in 0..200 {
        if harness.get("/v2/").await.status == 429 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    assert_eq!(harness.get("/v2/").await.refusal(), "429 TOOMANYREQUESTS");
    slow.write_all(b"x").await.unwrap();
    let mut answer = [0; 12];
    slow.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 201");
    assert_eq!(harness.get("/v2/").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_become_spans() {
    let (url, posts) = listener().await;
    let harness = Harness::with(|config| {
        config.tracing.endpoint = Some(url);
        config.tracing.service = "the-service".to_owned();
    })
    .await;
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let parent = format!("00-{trace}-00f067aa0ba902b7-01");
    let answer = harness.send("GET", "/v2/team/app/manifests/v1", &[("traceparent", parent.as_str())], "").await;
    let request = answer.header("x-request-id").to_owned();
    harness.stop().await;
    let posts = posts.lock().unwrap();
    assert_eq!(posts.len(), 1, "one batch, sent before the end");
    for part in ["the-service", "GET /v2/{name}/manifests/{reference}", "team/app", "estiba.request.id", &request] {
        assert!(posts[0].contains(part), "{part} is missing");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn writes_are_told_to_others() {
    let (url, posts) = listener().await;
    let harness = Harness::with(|config| {
        let endpoint = format!("url = \"{url}\"\nevents = [\"*\", \"manifest.pulled\"]\n");
        config.webhook.endpoint = vec![toml::from_str(&endpoint).unwrap()];
    })
    .await;
    let jobs = registry_server::jobs::start(&harness.registry);
    let first = harness.push_image("team/app", "v1", "one").await;
    let second = harness.push_image("team/app", "v1", "two").await;
    assert_eq!(harness.get("/v2/team/app/manifests/v1").await.status, 200);
    assert_eq!(harness.delete("/v2/team/app/manifests/v1").await.status, 202);
    assert_eq!(harness.delete(&format!("/v2/team/app/manifests/{second}")).await.status, 202);
    let seen = || -> Vec<String> {
        let event = |post: &String| {
            let event: serde_json::Value = serde_json::from_str(post.split_once("\r\n\r\n").unwrap().1).unwrap();
            let kind = event["type"].as_str().unwrap().strip_prefix("dev.estiba.registry.").unwrap().to_owned();
            format!("{kind} {}", event["subject"].as_str().unwrap())
        };
        posts.lock().unwrap().iter().map(event).filter(|event| !event.starts_with("blob.")).collect()
    };
    let expected = [
        "repository.created team/app".to_owned(),
        format!("manifest.pushed team/app@{first}"),
        "tag.created team/app:v1".to_owned(),
        format!("manifest.pushed team/app@{second}"),
        "tag.moved team/app:v1".to_owned(),
        "manifest.pulled team/app:v1".to_owned(),
        "tag.deleted team/app:v1".to_owned(),
        format!("manifest.deleted team/app@{second}"),
    ];
    for _ in 0..500 {
        if seen().len() >= expected.len() {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    assert_eq!(seen(), expected);
    harness.registry.stop.cancel();
    jobs.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_control_socket() {
    let harness = Harness::start().await;
    harness.push_blob("a", b"blob").await;
    let reloads = Arc::new(Mutex::new(0));
    let counted = Arc::clone(&reloads);
    let running = Running {
        registry: Arc::clone(&harness.registry),
        addresses: vec![harness.address.to_string()],
        root: harness.root().to_owned(),
        started: registry_server::time::Instant::now(),
        reload: Box::new(move || {
            *counted.lock().unwrap() += 1;
            if *counted.lock().unwrap() == 1 { Ok(()) } else { Err("the file is wrong".to_owned()) }
        }),
    };
    tokio::spawn(Service::bind(harness.root(), Arc::new(running), COMMANDS).unwrap().run());
    let root = harness.root().to_owned();
    let asked = tokio::task::spawn_blocking(move || {
        let client = Client::connect(&root).unwrap();
        let status: Status = client.ask("status", &()).unwrap();
        assert_eq!((status.bytes, status.draining, status.trouble.len()), (4, false, 0));
        let collect = Collect { dry_run: false, grace: Some(registry_server::config::Duration::seconds(1)) };
        let refused = client.ask::<serde_json::Value>("gc", &collect).unwrap_err().to_string();
        assert!(refused.contains("needs at least 12h"), "{refused}");
        let collected: serde_json::Value = client.ask("gc", &Collect::default()).unwrap();
        assert_eq!(collected["blobs"], 0, "younger than the grace");
        client.ask::<()>("reload", &()).unwrap();
        assert_eq!(client.ask::<()>("reload", &()).unwrap_err().to_string(), "the file is wrong");
        client.ask::<()>("drain", &()).unwrap();
        client.ask::<Status>("status", &()).unwrap()
    });
    let status = asked.await.unwrap();
    assert!(status.draining && status.collected.is_some());
    assert_eq!(status.trouble, ["it is ending"]);
    assert!(harness.registry.stop.is_cancelled());
}
