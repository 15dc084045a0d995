//! Runs one more process in a container: `sandbox_join PID SPEC.json [chroot] [keep-fds] [no-stdio] [times=N]`, where PID is the
//! container's first process and SPEC.json a [`Spec`] whose rootfs and mounts mean nothing. Exits as the process did.
//!
//! `keep-fds` leaves a descriptor of the host's `/` open across everything; `times` repeats it and says how long each took.

use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::process::ExitCode;
use std::time::Instant;

use estiba_runtime::container::join::{Guest, Target, join};
use estiba_runtime::container::{ExitStatus, Isolation, Spec, StartError, Stdio};

fn main() -> Result<ExitCode, Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let pid: i32 = args.next().ok_or("which process?")?.parse()?;
    let spec: Spec = serde_json::from_slice(&std::fs::read(args.next().ok_or("which specification?")?)?)?;
    let modes: Vec<String> = args.collect();
    let mode = |name: &str| modes.iter().any(|mode| mode == name);
    let _kept = if mode("keep-fds") { Some(rustix::io::dup(std::fs::File::open("/")?)?) } else { None };
    let isolation = if mode("chroot") { Isolation::Chroot } else { Isolation::Namespaces };
    let times = modes.iter().find_map(|mode| mode.strip_prefix("times=")?.parse().ok()).unwrap_or(1);
    let mut code = 0;
    for _ in 0..times {
        let begun = Instant::now();
        code = match once(pid, isolation, &spec, !mode("no-stdio")) {
            Ok(status) => status.code(),
            Err(error) => {
                writeln!(std::io::stderr(), "{error}")?;
                error.exit_code()
            }
        };
        if times > 1 {
            writeln!(std::io::stderr(), "{:.3} ms", begun.elapsed().as_secs_f64() * 1000.0)?;
        }
    }
    Ok(ExitCode::from(code))
}

fn once(pid: i32, isolation: Isolation, spec: &Spec, stdio: bool) -> Result<ExitStatus, StartError> {
    let own = |fd: std::os::fd::BorrowedFd<'_>| fd.try_clone_to_owned().ok().filter(|_| stdio);
    let stdio = Stdio {
        stdin: own(std::io::stdin().as_fd()),
        stdout: own(std::io::stdout().as_fd()),
        stderr: own(std::io::stderr().as_fd()),
        ..Stdio::default()
    };
    let started = sys::process::start_time(pid).unwrap_or_default();
    let target = Target::open(pid, started, isolation, true)?;
    let mut joined = join(&target, &Guest { spec, groups: &[] }, stdio)?;
    if let Some(terminal) = joined.terminal() {
        let mut terminal = std::fs::File::from(terminal);
        let mut buffer = [0; 4096];
        while let Ok(length @ 1..) = terminal.read(&mut buffer) {
            if std::io::stdout().write_all(&buffer[..length]).is_err() {
                break;
            }
        }
    }
    Ok(joined.wait())
}
