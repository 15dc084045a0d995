//! Processes, by what `/proc` says of them.

use rustix::io::Errno;

use crate::{Error, Result};

/// When a process started, in ticks since the boot: with its number it names no other process of this boot.
pub fn start_time(pid: i32) -> Result<u64> {
    let path = format!("/proc/{pid}/stat");
    let text = std::fs::read(&path).map_err(|error| Error::from_io("read", &path, &error))?;
    field(&text, START_TIME).ok_or_else(|| Error::new("read", &path, Errno::INVAL))
}

/// Field 22, counted from the state (field 3), which comes after the name.
const START_TIME: usize = 22 - 3;

/// A field behind the name; a name may hold anything, parentheses too.
fn field(stat: &[u8], number: usize) -> Option<u64> {
    let end = stat.iter().rposition(|byte| *byte == b')')?;
    let fields = std::str::from_utf8(&stat[end + 1..]).ok()?;
    fields.split_ascii_whitespace().nth(number)?.parse().ok()
}

/// Fields 48 and 49: where the arguments of this process lie.
const ARGUMENTS: (usize, usize) = (48 - 3, 49 - 3);

/// Overwrites this process's arguments, which everybody can read in `/proc`: what forks from it without executing anything shows them
/// for ever, in a container too.
pub fn forget_arguments() -> Result<()> {
    let path = "/proc/self/stat";
    let text = std::fs::read(path).map_err(|error| Error::from_io("read", path, &error))?;
    let place = |number| field(&text, number).and_then(|at| usize::try_from(at).ok());
    let (Some(start), Some(end)) = (place(ARGUMENTS.0), place(ARGUMENTS.1)) else {
        return Err(Error::new("read", path, Errno::INVAL));
    };
    if start == 0 || end <= start {
        return Ok(());
    }
    // SAFETY: the kernel laid the arguments there when this process was executed, in memory that may be written and stays mapped;
    // nothing of Rust's borrows it: `std::env::args_os` copies. A lying `/proc` is out of the question: containers begin later.
    unsafe { std::ptr::write_bytes(std::ptr::with_exposed_provenance_mut::<u8>(start), 0, end - start) };
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_forgotten() {
        let child = crate::fork::child(|| {
            let forgot = forget_arguments().is_ok();
            let shown = std::fs::read("/proc/self/cmdline").unwrap_or(vec![1]);
            u8::from(!forgot || shown.iter().any(|byte| *byte != 0))
        });
        assert_eq!(child.unwrap().wait().unwrap(), 0);
    }

    #[test]
    fn names_hold_anything() {
        let stat = b"7 (a) 1 (b) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4242 20";
        assert_eq!(field(stat, START_TIME), Some(4242));
        assert_eq!(field(b"7 (a", START_TIME), None);
        assert!(start_time(rustix::process::getpid().as_raw_nonzero().get()).unwrap() > 0);
        assert!(start_time(-5).is_err());
    }
}
