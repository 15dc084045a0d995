//! Limits as docker's options write them.

use runtime::cgroup::{Limits, Rate, Throttle, UNLIMITED};

use crate::duration::parse_size;
use crate::error::{Error, Result};

/// Limits by control groups that containers and RUNs both have.
#[derive(Debug, Default, clap::Args)]
#[group(skip)]
pub(crate) struct GroupLimits {
    /// Memory
    #[arg(short, long, value_name = "SIZE")]
    memory: Option<String>,
    /// Memory and swap together; -1 for no limit
    #[arg(long, value_name = "SIZE", allow_hyphen_values = true)]
    memory_swap: Option<String>,
    /// Weight among others at the processors; everybody's is 1024
    #[arg(short, long, value_name = "N")]
    cpu_shares: Option<u64>,
    /// Microseconds of the period that --cpu-quota is about
    #[arg(long, value_name = "N")]
    cpu_period: Option<u64>,
    /// Microseconds of processor time in a period; -1 for no limit
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    cpu_quota: Option<i64>,
    /// Which processors, such as 0-2,4
    #[arg(long, value_name = "LIST")]
    cpuset_cpus: Option<String>,
    /// Which memory nodes
    #[arg(long, value_name = "LIST")]
    cpuset_mems: Option<String>,
}

/// The least memory that docker gives.
const MIN_MEMORY: u64 = 6 << 20;

impl GroupLimits {
    /// The limits that are named. A number of 0 is no limit, as docker has it.
    pub(crate) fn settle(&self) -> Result<Limits> {
        let memory = size("--memory", self.memory.as_deref())?.filter(|bytes| *bytes > 0);
        if let Some(bytes) = memory.filter(|bytes| *bytes < MIN_MEMORY) {
            return Err(Error::usage(format!("--memory: {bytes} bytes are too few for any program: 6m is the least")));
        }
        if let Some(period) = self.cpu_period.filter(|period| *period != 0 && !(1000..=1_000_000).contains(period)) {
            return Err(Error::usage(format!("--cpu-period {period}: expected 1000 to 1000000 microseconds")));
        }
        let cpu_quota = match self.cpu_quota {
            None | Some(0) => None,
            Some(quota @ 1..1000) => {
                return Err(Error::usage(format!("--cpu-quota {quota}: 1000 microseconds are the least")));
            }
            Some(quota) => Some(u64::try_from(quota).unwrap_or(UNLIMITED)),
        };
        Ok(Limits {
            memory,
            memory_swap: swap(self.memory_swap.as_deref(), memory)?,
            cpu_shares: self.cpu_shares.filter(|shares| *shares > 0),
            cpu_period: self.cpu_period.filter(|period| *period > 0),
            cpu_quota,
            cpuset_cpus: list("--cpuset-cpus", self.cpuset_cpus.as_deref())?,
            cpuset_mems: list("--cpuset-mems", self.cpuset_mems.as_deref())?,
            ..Limits::default()
        })
    }
}

/// `--cgroup-parent`: a path from the root of all groups, which stays below it.
pub(crate) fn parent(written: Option<&str>) -> Result<Option<String>> {
    let Some(parent) = written.filter(|parent| !parent.is_empty()) else { return Ok(None) };
    if parent.split('/').any(|part| part == "..") {
        return Err(Error::usage("--cgroup-parent: a path from the root of all groups, without `..`"));
    }
    Ok(Some(parent.to_owned()))
}

/// Bytes: `512m`.
pub(crate) fn size(option: &str, written: Option<&str>) -> Result<Option<u64>> {
    let parse = |text: &str| {
        parse_size(text).ok_or_else(|| Error::usage(format!("{option} {text}: expected a size such as 512m")))
    };
    written.map(parse).transpose()
}

/// `--memory-swap`, against `--memory`.
fn swap(written: Option<&str>, memory: Option<u64>) -> Result<Option<i64>> {
    match written {
        None | Some("0") => Ok(None),
        Some("-1") => Ok(Some(-1)),
        Some(text) => {
            let total = size("--memory-swap", Some(text))?.unwrap_or_default();
            match memory {
                None => Err(Error::usage("--memory-swap needs --memory: it is the sum of memory and swap")),
                Some(memory) if total < memory => {
                    Err(Error::usage("--memory-swap is less than --memory, and is the sum of memory and swap"))
                }
                Some(_) => Ok(Some(i64::try_from(total).unwrap_or(i64::MAX))),
            }
        }
    }
}

/// Numbers and ranges: `0-2,4`.
fn list(option: &str, written: Option<&str>) -> Result<Option<String>> {
    let Some(text) = written.filter(|text| !text.is_empty()) else { return Ok(None) };
    let number = |text: &str| text.parse::<u32>().is_ok();
    let is_range = |part: &str| part.split_once('-').map_or(number(part), |(from, to)| number(from) && number(to));
    if !text.split(',').all(is_range) {
        return Err(Error::usage(format!("{option} {text}: expected numbers and ranges, such as 0-2,4")));
    }
    Ok(Some(text.to_owned()))
}

/// `1.5` processors as microseconds of a period of 100 ms, which is docker's.
pub(crate) fn processors(written: &str) -> Result<u64> {
    let wrong = || Error::usage(format!("--cpus {written}: expected a number of processors, such as 1.5"));
    let (whole, part) = written.split_once('.').unwrap_or((written, ""));
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    if (whole.is_empty() && part.is_empty()) || !digits(whole) || !digits(part) || part.len() > 9 {
        return Err(wrong());
    }
    let whole: u64 = if whole.is_empty() { 0 } else { whole.parse().map_err(|_| wrong())? };
    // Five digits behind the point are microseconds of 100 ms.
    let part: u64 = format!("{part:0<5}")[..5].parse().map_err(|_| wrong())?;
    match whole.checked_mul(100_000).and_then(|whole| whole.checked_add(part)) {
        // Less the kernel does not take.
        Some(quota) if quota >= 1000 => Ok(quota),
        Some(0) => Ok(UNLIMITED),
        _ => Err(wrong()),
    }
}

/// `/dev/sda:10mb`, or a device's number instead of its path.
pub(crate) fn throttle(option: &str, written: &str, what: Rate) -> Result<Throttle> {
    let wrong = |why: &str| Error::usage(format!("{option} {written}: {why}"));
    let (path, rate) = written.rsplit_once(':').ok_or_else(|| wrong("expected DEVICE:RATE, such as /dev/sda:10mb"))?;
    let rate = match what {
        Rate::ReadBytes | Rate::WriteBytes => parse_size(rate),
        Rate::Reads | Rate::Writes => rate.parse().ok(),
    };
    let rate = rate.filter(|rate| *rate > 0).ok_or_else(|| wrong("the rate must be a number above 0"))?;
    Ok(Throttle { device: device(path).map_err(|why| wrong(&why))?, what, rate })
}

/// The number of a block device.
fn device(path: &str) -> std::result::Result<String, String> {
    let metadata = std::fs::metadata(path).map_err(|error| error.to_string())?;
    if !std::os::unix::fs::FileTypeExt::is_block_device(&metadata.file_type()) {
        return Err("not a block device".to_owned());
    }
    let number = std::os::unix::fs::MetadataExt::rdev(&metadata);
    Ok(format!("{}:{}", rustix::fs::major(number), rustix::fs::minor(number)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn swap_counts_memory_in() {
        assert_eq!(swap(Some("2m"), Some(1 << 20)).unwrap(), Some(2 << 20));
        assert_eq!((swap(Some("-1"), None).unwrap(), swap(None, None).unwrap()), (Some(-1), None));
        assert!(swap(Some("1m"), None).is_err() && swap(Some("1k"), Some(1 << 20)).is_err());
        assert!(list("", Some("0-2,4")).is_ok() && list("", Some("a")).is_err() && list("", Some("1-")).is_err());
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        let limits = |change: fn(&mut GroupLimits)| {
            let mut options = GroupLimits::default();
            change(&mut options);
            options.settle()
        };
        assert!(limits(|_| {}).unwrap().is_empty());
        let few = limits(|options| options.memory = Some("1m".to_owned())).unwrap_err();
        assert!(few.message().contains("6m"));
        assert!(limits(|options| options.cpu_period = Some(5)).is_err());
        assert!(limits(|options| options.cpu_quota = Some(5)).is_err());
        assert_eq!(limits(|options| options.cpu_quota = Some(-1)).unwrap().cpu_quota, Some(UNLIMITED));
        assert!(parent(Some("/a/../../b")).is_err());
        assert_eq!((parent(Some("")).unwrap(), parent(Some("/a")).unwrap().as_deref()), (None, Some("/a")));
    }

    #[test]
    fn processors_are_parts_of_a_period() {
        let cases =
            [("1", 100_000), ("1.5", 150_000), (".5", 50_000), ("0.01", 1000), ("2.", 200_000), ("0.333333", 33_333)];
        for (written, quota) in cases {
            assert_eq!(processors(written).unwrap(), quota, "{written}");
        }
        assert_eq!(processors("0").unwrap(), UNLIMITED);
        for bad in ["", ".", "x", "-1", "0.001", "1e3", "99999999999999999999", "1.5.5", "ä"] {
            assert!(processors(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn rates_of_what_is_no_device_are_refused() {
        for bad in ["/dev/null:1mb", "/nowhere:1", "/dev/sda", "/:1"] {
            assert!(throttle("--device-read-bps", bad, Rate::ReadBytes).is_err(), "{bad}");
        }
    }
}
