//! The figures: each is taken of every server by turns, and is a median.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use super::client::{self, Blobs, Connection, LARGE, REPOSITORY};
use super::server::{self, Running, SERVERS, Server};
use super::table::{Table, number};
use crate::measure::median;
use crate::tool::Bed;

/// How long one run of wrk takes.
const WRK_SECONDS: u64 = 4;
/// How long one run of pushes takes at most.
const PUSH_LIMIT: Duration = Duration::from_secs(8);
/// Uploads at once in the crowd, and the bytes of each.
const CROWD: usize = 256;
const CROWD_BYTES: usize = 100_000_000;
/// How long the crowd is watched, and the share of the free disk that it may fill: its bytes would take
/// 26 GB and on most disks minutes.
const CROWD_TIME: Duration = Duration::from_secs(20);
const CROWD_SHARE: usize = 2;
/// Tags of the long list, and how many one manifest is pushed with at once.
const TAGS: usize = 100_000;
const TAGS_AT_ONCE: usize = 25;
/// Blobs that lie there when the server starts.
const MANY_BLOBS: usize = 1_000_000;

/// The servers as they run, and what is read of them.
#[derive(Debug)]
pub(super) struct Field {
    dir: PathBuf,
    estiba: PathBuf,
    rounds: usize,
    seed: u64,
    running: Vec<Option<Running>>,
    blob: String,
    manifest: String,
    /// Where rows go.
    pub(super) table: Table,
}

impl Field {
    /// Starts every server that this machine has, and pushes what is to be read.
    pub(super) fn open(bed: &Bed, rounds: usize) -> io::Result<Field> {
        let dir = bed.context("w8");
        fs::create_dir_all(&dir)?;
        let dir = dir.canonicalize()?;
        let estiba = bed.estiba().to_owned();
        let blobs = Blobs::new(LARGE, 2, 1);
        let (digest, parts) = blobs.get(0);
        let config = b"{}";
        let config_digest = oci::Digest::sha256(config);
        let manifest = format!(
            "{{\"schemaVersion\":2,\"mediaType\":\"{}\",\"config\":{{\"mediaType\":\"application/vnd.oci.image.config.v1+json\",\
             \"digest\":\"{config_digest}\",\"size\":2}},\"layers\":[{{\"mediaType\":\"application/vnd.oci.image.layer.v1.tar\",\
             \"digest\":\"{digest}\",\"size\":{LARGE}}}],\"annotations\":{{\"note\":\"{}\"}}}}",
            client::MANIFEST,
            "x".repeat(600),
        );
        let mut running = Vec::new();
        for server in SERVERS {
            if !server.there(&estiba) {
                running.push(None);
                continue;
            }
            let started = server.start(&estiba, &dir.join(server.name().replace(' ', "-")))?;
            if server == Server::Nginx {
                let place = |kind: &str| dir.join(format!("nginx/v2/{REPOSITORY}/{kind}"));
                fs::create_dir_all(place("blobs"))?;
                fs::create_dir_all(place("manifests"))?;
                fs::write(place("blobs").join(digest.to_string()), parts.concat())?;
                fs::write(place("manifests").join("latest"), &manifest)?;
            } else {
                let mut connection = Connection::open(started.port)?;
                connection.push(digest, &parts)?;
                connection.push(&config_digest, &[config])?;
                connection.manifest("latest", manifest.as_bytes())?;
            }
            running.push(Some(started));
        }
        Ok(Field { dir, estiba, rounds, seed: 1, running, blob: digest.to_string(), manifest, table: Table })
    }

    /// The table's columns.
    pub(super) fn names(&self) -> Vec<&'static str> {
        SERVERS.iter().map(|server| server.name()).chain(["beside"]).collect()
    }

    fn there(&self) -> impl Iterator<Item = &Running> {
        self.running.iter().flatten()
    }

    /// Takes `rounds` values of each server that `which` wants, by turns. Medians in the table's order.
    fn by_turns(
        &self,
        which: impl Fn(Server) -> bool,
        mut value: impl FnMut(&Running) -> io::Result<f64>,
    ) -> io::Result<Vec<Option<f64>>> {
        let mut values = vec![Vec::new(); SERVERS.len()];
        for _ in 0..self.rounds {
            for (column, running) in self.running.iter().enumerate() {
                if let Some(running) = running.as_ref().filter(|running| which(running.server)) {
                    values[column].push(value(running)?);
                }
            }
        }
        Ok(values.into_iter().map(|values| (!values.is_empty()).then(|| median(values))).collect())
    }

    fn print(&self, figure: &str, values: &[Option<f64>], beside: Option<String>) -> io::Result<()> {
        let cells: Vec<_> = values.iter().map(|value| value.map(number)).chain([beside]).collect();
        self.table.row(figure, &cells)
    }

    /// Whole blobs of 10 MiB: requests per second, and the peak of anonymous memory with most clients.
    pub(super) fn get_blob(&mut self, clients: usize) -> io::Result<()> {
        let path = format!("/v2/{REPOSITORY}/blobs/{}", self.blob);
        let mut peaks = vec![0.0_f64; SERVERS.len()];
        let values = self.by_turns(
            |_| true,
            |running| {
                let (value, peak) = watched(running.id(), || wrk(running.port, &path, clients))?;
                let column = SERVERS.iter().position(|server| *server == running.server).unwrap_or(0);
                peaks[column] = peaks[column].max(peak);
                Ok(value)
            },
        )?;
        self.print(&format!("GET 10 MiB, {clients} clients, per s"), &values, None)?;
        if clients < 64 {
            return Ok(());
        }
        let peaks: Vec<_> = values.iter().zip(peaks).map(|(value, peak)| value.map(|_| peak)).collect();
        self.print("peak anonymous memory meanwhile, MiB", &peaks, None)
    }

    /// Manifests of 1 KB by tag: requests per second.
    pub(super) fn get_manifest(&mut self, clients: usize) -> io::Result<()> {
        let path = format!("/v2/{REPOSITORY}/manifests/latest");
        let values = self.by_turns(|_| true, |running| wrk(running.port, &path, clients))?;
        self.print(&format!("GET manifest, {clients} clients, per s"), &values, None)
    }

    /// Pushes of blobs that nobody has: MiB per second of large ones, pushes per second of small ones.
    pub(super) fn put(&mut self, size: usize, clients: usize) -> io::Result<()> {
        let large = size == LARGE;
        let count = if large { 80 } else { 1_200 * clients.min(5) };
        let mut seed = self.seed;
        let mut disk = Vec::new();
        let values = self.by_turns(
            |server| server != Server::Nginx,
            |running| {
                seed += 1;
                // By turns with the disk itself, which is another one from minute to minute.
                if running.server == Server::Estiba {
                    disk.push(if large { raw_writes(&self.dir)? } else { raw_syncs(&self.dir, clients)? });
                }
                let blobs = Arc::new(Blobs::new(size, count, seed));
                let rate = client::load(running.port, blobs, clients, PUSH_LIMIT)?;
                Ok(if large { rate * 10.0 } else { rate })
            },
        )?;
        self.seed = seed;
        let floor = median(disk);
        let share = values.first().copied().flatten().unwrap_or(f64::NAN) / floor;
        let (what, floor) = if large {
            ("PUT 10 MiB", format!("dd conv=fdatasync {} (estiba: {share:.2} of it)", number(floor)))
        } else {
            ("PUT 4 KiB", format!("create, fsync, rename, fsync {} (estiba: {share:.2} of it)", number(floor)))
        };
        let unit = if large { "MiB/s" } else { "per s" };
        self.print(&format!("{what}, {clients} clients, {unit}"), &values, Some(floor))
    }

    /// Many large uploads at once: the peak of anonymous memory, and what came through in the time that they are watched.
    pub(super) fn crowd(&mut self) -> io::Result<()> {
        let mut cells = vec![None; SERVERS.len() + 1];
        for (column, server) in SERVERS.into_iter().enumerate() {
            if server == Server::Nginx || !server.there(&self.estiba) {
                continue;
            }
            let root = self.dir.join(format!("crowd-{column}"));
            let running = server.start(&self.estiba, &root)?;
            let room = free(&self.dir)? / CROWD_SHARE;
            let (rate, peak) = watched(running.id(), || crowd(running.port, room))?;
            drop(running);
            remove(&root)?;
            cells[column] = Some(format!("{} ({} MB/s)", number(peak), number(rate)));
        }
        let figure =
            format!("{CROWD} uploads of 100 MB at once, {} s of them: peak anonymous MiB", CROWD_TIME.as_secs());
        self.table.row(&figure, &cells)
    }

    /// Pages of a long list of tags: at its start and near its end, and the same pages of a short one.
    pub(super) fn tags(&mut self) -> io::Result<()> {
        let Some(ours) = self.there().find(|running| running.server == Server::Estiba) else { return Ok(()) };
        let digest = oci::Digest::sha256(self.manifest.as_bytes());
        let times = |path: &str| -> io::Result<f64> {
            // A new one: those that are idle while tags are pushed are closed.
            let mut connection = Connection::open(ours.port)?;
            let mut taken = Vec::new();
            for _ in 0..50 {
                let started = Instant::now();
                let answer = connection.ask("GET", path, "text/plain", &[])?;
                taken.push(started.elapsed().as_secs_f64() * 1000.0);
                if answer.status != 200 {
                    return Err(io::Error::other(format!("{path}: {}", answer.status)));
                }
            }
            Ok(median(taken))
        };
        let push = |from: usize, to: usize| -> io::Result<()> {
            let mut connection = Connection::open(ours.port)?;
            for start in (from..to).step_by(TAGS_AT_ONCE) {
                let tags: Vec<_> = (start..start + TAGS_AT_ONCE).map(|tag| format!("tag=t{tag:06}")).collect();
                connection.manifest(&format!("{digest}?{}", tags.join("&")), self.manifest.as_bytes())?;
            }
            Ok(())
        };
        push(0, 2_000)?;
        let short = times(&format!("/v2/{REPOSITORY}/tags/list?n=1000"))?;
        push(2_000, TAGS)?;
        let first = times(&format!("/v2/{REPOSITORY}/tags/list?n=1000"))?;
        let last = times(&format!("/v2/{REPOSITORY}/tags/list?n=1000&last=t098990"))?;
        let cell = format!("{short:.2} / {first:.2} / {last:.2}");
        let mut cells = vec![None; SERVERS.len() + 1];
        cells[0] = Some(cell);
        self.table.row("page of 1,000 tags, ms: of 2,000, first and last of 100,000", &cells)
    }

    /// From the start of the process until it listens, with very many blobs in the data directory.
    pub(super) fn start(&mut self) -> io::Result<()> {
        let mut cells = vec![None; SERVERS.len() + 1];
        let empty = self.starts(&self.dir.join("start-empty"))?;
        let full = self.dir.join("start-full");
        let many =
            if many_blobs(&self.estiba, &full)? { format!("{:.0}", self.starts(&full)?) } else { "–".to_owned() };
        cells[0] = Some(format!("{empty:.0} / {many}"));
        self.table.row("start until it listens, ms: empty, with 1,000,000 blobs", &cells)
    }

    /// The median of starts over a data directory, in milliseconds.
    fn starts(&self, root: &Path) -> io::Result<f64> {
        let mut taken = Vec::new();
        // The first one lays out an empty directory.
        drop(Server::Estiba.start(&self.estiba, root)?);
        for _ in 0..self.rounds.max(5) {
            taken.push(Server::Estiba.start(&self.estiba, root)?.ready.as_secs_f64() * 1000.0);
        }
        Ok(median(taken))
    }
}

/// Runs `work` while the anonymous memory of a process and its children is watched; gives its peak in MiB.
fn watched<T>(id: u32, work: impl FnOnce() -> io::Result<T>) -> io::Result<(T, f64)> {
    let stop = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&stop);
    let watcher = thread::spawn(move || {
        let mut peak = 0;
        while !seen.load(Ordering::Relaxed) {
            peak = peak.max(server::family(id).iter().filter_map(|id| server::anonymous(*id)).sum::<u64>());
            thread::sleep(Duration::from_millis(20));
        }
        peak
    });
    let value = work();
    stop.store(true, Ordering::Relaxed);
    let peak = watcher.join().map_err(|_| io::Error::other("the watcher panicked"))?;
    Ok((value?, peak as f64 / 1024.0))
}

/// Requests per second by wrk.
fn wrk(port: u16, path: &str, clients: usize) -> io::Result<f64> {
    let threads = clients.min(2);
    let output = Command::new("wrk")
        .args([format!("-t{threads}"), format!("-c{clients}"), format!("-d{WRK_SECONDS}s")])
        .args(["-H", &format!("Accept: {}", client::MANIFEST)])
        .arg(format!("http://127.0.0.1:{port}{path}"))
        .output()
        .map_err(|error| io::Error::new(error.kind(), format!("wrk cannot be run: {error}")))?;
    let said = String::from_utf8_lossy(&output.stdout);
    if said.contains("Non-2xx") {
        return Err(io::Error::other(format!("{path} of port {port}: {said}")));
    }
    said.lines()
        .find_map(|line| line.strip_prefix("Requests/sec:")?.trim().parse().ok())
        .ok_or_else(|| io::Error::other(format!("wrk said {said:?}")))
}

/// What the disk writes, in MiB per second, with one sync at the end.
fn raw_writes(dir: &Path) -> io::Result<f64> {
    let file = dir.join("raw");
    let started = Instant::now();
    let status = Command::new("dd")
        .args(["if=/dev/zero", "bs=1M", "count=800", "conv=fdatasync", "status=none"])
        .arg(format!("of={}", file.display()))
        .status()?;
    let seconds = started.elapsed().as_secs_f64();
    fs::remove_file(&file)?;
    if status.success() { Ok(800.0 / seconds) } else { Err(io::Error::other("dd failed")) }
}

/// Files of 4 KiB made as a registry must: written, synced, renamed, and the folder synced. Per second, by `writers`.
fn raw_syncs(dir: &Path, writers: usize) -> io::Result<f64> {
    let folder = dir.join("syncs");
    fs::create_dir_all(&folder)?;
    let total = Arc::new(Mutex::new(0_usize));
    let started = Instant::now();
    let threads: Vec<_> = (0..writers)
        .map(|writer| {
            let (folder, total) = (folder.clone(), Arc::clone(&total));
            thread::spawn(move || -> io::Result<()> {
                let mut count = 0;
                while started.elapsed() < Duration::from_secs(2) {
                    let path = folder.join(format!("{writer}-{count}"));
                    let mut file = fs::File::create(path.with_extension("new"))?;
                    file.write_all(&[1; 4096])?;
                    file.sync_all()?;
                    fs::rename(path.with_extension("new"), &path)?;
                    fs::File::open(&folder)?.sync_all()?;
                    count += 1;
                }
                *total.lock().map_err(|_| io::Error::other("a writer panicked"))? += count;
                Ok(())
            })
        })
        .collect();
    for thread in threads {
        thread.join().map_err(|_| io::Error::other("a writer panicked"))??;
    }
    let seconds = started.elapsed().as_secs_f64();
    let count = *total.lock().map_err(|_| io::Error::other("a writer panicked"))?;
    remove(&folder)?;
    Ok(count as f64 / seconds)
}

/// Bytes that are free where a folder lies.
fn free(dir: &Path) -> io::Result<usize> {
    let output = Command::new("df").args(["--output=avail", "-B1"]).arg(dir).output()?;
    let said = String::from_utf8_lossy(&output.stdout);
    said.split_whitespace().last().and_then(|word| word.parse().ok()).ok_or_else(|| io::Error::other("df says nothing"))
}

/// Begins all uploads, sends as much of them as time and room allow, and hangs up. Gives MB per second.
fn crowd(port: u16, room: usize) -> io::Result<f64> {
    let started = Instant::now();
    let share = CROWD_BYTES.min(room / CROWD);
    let threads: Vec<_> = (0..CROWD)
        .map(|number| {
            thread::Builder::new().stack_size(256 << 10).spawn(move || -> io::Result<usize> {
                let mut connection = Connection::open(port)?;
                let begun = connection.ask("POST", &format!("/v2/{REPOSITORY}/blobs/uploads/"), "text/plain", &[])?;
                let and = if begun.location.contains('?') { '&' } else { '?' };
                let path = format!("{}{and}digest=sha256:{}", begun.location, "0".repeat(64));
                connection.begin("PUT", &path, "application/octet-stream", CROWD_BYTES)?;
                let piece: Vec<u8> = (0..64 << 10).map(|byte| (byte * 31 + number) as u8).collect();
                let mut sent = 0;
                while sent + piece.len() < share && started.elapsed() < CROWD_TIME {
                    connection.body(&piece)?;
                    sent += piece.len();
                }
                Ok(sent)
            })
        })
        .collect::<io::Result<_>>()?;
    let mut sent = 0;
    for thread in threads {
        sent += thread.join().map_err(|_| io::Error::other("a client panicked"))??;
    }
    Ok(sent as f64 / started.elapsed().as_secs_f64() / 1e6)
}

/// Lays a million blobs into a data directory and lets fsck find them. `false` where it could not.
fn many_blobs(estiba: &Path, root: &Path) -> io::Result<bool> {
    drop(Server::Estiba.start(estiba, root)?);
    let blobs = root.join("blobs/sha256");
    fs::create_dir_all(&blobs)?;
    // The journal of names says whose they are.
    let mut journal = io::BufWriter::new(fs::File::create(root.join("names.journal"))?);
    for number in 0..MANY_BLOBS {
        let bytes = (number as u64).to_le_bytes();
        let digest = oci::Digest::sha256(&bytes);
        fs::write(blobs.join(format!("{}.00000000", digest.hex())), bytes)?;
        let repository = number % 1_000;
        writeln!(journal, r#"{{"op":"blob","repository":"many/{repository}","digest":"{digest}","at":0}}"#)?;
    }
    journal.flush()?;
    drop(journal);
    let mut rebuild = Command::new(estiba);
    rebuild.args(["registry", "fsck", "--rebuild", "--root"]).arg(root).stdin(Stdio::null()).stdout(Stdio::null());
    Ok(rebuild.status()?.success())
}

fn remove(dir: &Path) -> io::Result<()> {
    if dir.exists() { fs::remove_dir_all(dir) } else { Ok(()) }
}
