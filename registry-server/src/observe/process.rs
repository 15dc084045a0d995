//! What the process itself takes: memory, processor time, descriptors, threads. Read when somebody asks.

use std::fs;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;

/// Reads `/proc/self`.
#[derive(Debug)]
pub(super) struct Process;

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> std::fmt::Result {
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let gauges = [
            ("process_resident_memory_bytes", "Memory in use", line(&status, "VmRSS:") * 1024),
            ("process_anonymous_memory_bytes", "Memory in use that no file backs", line(&status, "RssAnon:") * 1024),
            ("process_threads", "Threads", line(&status, "Threads:")),
            ("process_open_fds", "Open descriptors", fs::read_dir("/proc/self/fd").map_or(0, |dir| dir.count() as u64)),
        ];
        for (name, help, value) in gauges {
            let value = i64::try_from(value).unwrap_or(i64::MAX);
            encoder.encode_descriptor(name, help, None, MetricType::Gauge)?.encode_gauge(&value)?;
        }
        let mut time = encoder.encode_descriptor(
            "process_cpu_seconds",
            "Processor time, of the process and of the kernel for it",
            None,
            MetricType::Counter,
        )?;
        time.encode_counter::<NoLabelSet, _, u64>(&cpu_seconds(), None)
    }
}

/// A number of `/proc/self/status`.
fn line(status: &str, name: &str) -> u64 {
    let value = status.lines().find_map(|line| line.strip_prefix(name));
    value.and_then(|value| value.split_whitespace().next()?.parse().ok()).unwrap_or_default()
}

fn cpu_seconds() -> f64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // Behind the name, which may hold anything: the times are the 12th and 13th number.
    let numbers = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let ticks: u64 = numbers.split_whitespace().skip(11).take(2).filter_map(|text| text.parse::<u64>().ok()).sum();
    #[expect(clippy::cast_precision_loss, reason = "ticks of a process fit")]
    let seconds = ticks as f64 / rustix::param::clock_ticks_per_second() as f64;
    seconds
}

/// What the runtime has to do.
#[derive(Debug)]
pub(super) struct Runtime;

impl Collector for Runtime {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> std::fmt::Result {
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return Ok(()) };
        let metrics = runtime.metrics();
        let gauges = [
            ("runtime_workers", "Threads that serve", metrics.num_workers()),
            ("runtime_tasks", "Tasks that are alive", metrics.num_alive_tasks()),
            ("runtime_queued_tasks", "Tasks that wait for a thread", metrics.global_queue_depth()),
        ];
        for (name, help, value) in gauges {
            let value = i64::try_from(value).unwrap_or(i64::MAX);
            encoder.encode_descriptor(name, help, None, MetricType::Gauge)?.encode_gauge(&value)?;
        }
        Ok(())
    }
}
