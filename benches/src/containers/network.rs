//! W10 and W15: what a private network costs, and what goes through a published port, beside pasta in a namespace that is there.

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use crate::measure::Sample;
use crate::report::Report;
use crate::tool::{Bed, Tool};

/// The folders of the host that a program of the host needs in a container.
const HOST_LIBRARIES: [&str; 3] = ["/usr", "/lib", "/lib64"];
/// Who pasta becomes where root starts it, and who must have the namespace then.
const NOBODY: &str = "65534";
/// How long a namespace may take to be there, and a port to answer.
const PATIENCE: Duration = Duration::from_secs(20);
/// After each run: the kernel takes tens of milliseconds to give up a device, during which it makes others wait.
const PAUSE: Duration = Duration::from_millis(150);
/// Bytes through a published port.
const THROUGH: u64 = 4 << 30;
/// How long one write or read of them may take.
const STALL: Duration = Duration::from_secs(30);

/// W10: a private network, beside no network, and beside pasta's own start: from its execution until it has set everything up and gone
/// into the background.
pub(crate) fn private_network(bed: &Bed, report: &mut Report, rounds: usize) -> io::Result<()> {
    if !bed.has(Tool::Pasta) {
        return Ok(());
    }
    bed.reset(Tool::Estiba)?;
    let run = |network: &str| {
        let mut command = bed.command(Tool::Estiba);
        command.args(["run", "--rm", &format!("--network={network}"), "busybox", "true"]);
        command
    };
    let measured = |network: &str| {
        let sample = bed.measure(&run(network));
        std::thread::sleep(PAUSE);
        sample
    };
    measured("pasta")?;
    let (mut private, mut none, mut alone) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..rounds * 5 {
        private.push(measured("pasta")?);
        none.push(measured("none")?);
        let mut namespace = Namespace::around(Command::new("cat"))?;
        alone.push(namespace.connect(bed, None)?);
        namespace.end()?;
        std::thread::sleep(PAUSE);
    }
    report.row("W10 run --rm --network=none busybox true", &[(Tool::Estiba, none)])?;
    report.row("W10 the same with --network=pasta", &[(Tool::Estiba, private), (Tool::Pasta, alone)])
}

/// The benchmark's own side behind a port: takes connections and forgets what comes. `None` where this process is not that.
#[must_use]
pub fn sink() -> Option<ExitCode> {
    let mut words = std::env::args().skip(1);
    if words.next()? != "--sink" {
        return None;
    }
    let mut run = || -> io::Result<()> {
        let port: u16 = words.next().and_then(|word| word.parse().ok()).ok_or(io::ErrorKind::InvalidInput)?;
        let listener = TcpListener::bind(("0.0.0.0", port))?;
        let mut buffer = vec![0; 1 << 20];
        for stream in listener.incoming() {
            let mut stream = stream?;
            while stream.read(&mut buffer)? > 0 {}
            // Tells that all of it came.
            stream.write_all(b".")?;
        }
        Ok(())
    };
    Some(if run().is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// W15: 4 GiB into a published port, beside pasta's own forwarding: by what a private network has, and by our forwarder, which has the
/// ports of all other networks.
pub(crate) fn port(bed: &Bed, report: &mut Report, rounds: usize) -> io::Result<()> {
    if !bed.has(Tool::Pasta) {
        return Ok(());
    }
    bed.reset(Tool::Estiba)?;
    let forwarded = Command::new("slirp4netns").arg("--version").output().is_ok();
    let (mut private, mut ours, mut alone) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..rounds {
        private.push(into_container(bed, "pasta")?);
        if forwarded {
            ours.push(into_container(bed, "slirp4netns")?);
        }
        alone.push(into_namespace(bed)?);
    }
    report.row("W15 4 GiB into a port of --network=pasta", &[(Tool::Estiba, private), (Tool::Pasta, alone.clone())])?;
    if forwarded {
        report.row("W15 the same by our forwarder", &[(Tool::Estiba, ours), (Tool::Pasta, alone)])?;
    }
    Ok(())
}

fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

fn into_container(bed: &Bed, network: &str) -> io::Result<Sample> {
    let (port, program) = (free_port()?, std::env::current_exe()?);
    let mut command = bed.command(Tool::Estiba);
    command.args(["run", "-d", "--name=served", &format!("--network={network}"), "-p"]);
    command.arg(format!("127.0.0.1:{port}:{port}"));
    for library in HOST_LIBRARIES.iter().filter(|library| Path::new(library).exists()) {
        command.arg("-v").arg(format!("{library}:{library}:ro"));
    }
    command.arg("-v").arg(format!("{}:/bench:ro", program.display()));
    super::said(command.args(["busybox", "/bench", "--sink", &port.to_string()]))?;
    let sample = through(port);
    super::remove_all(bed, Tool::Estiba)?;
    sample
}

fn into_namespace(bed: &Bed) -> io::Result<Sample> {
    let port = free_port()?;
    let mut sink = Command::new(std::env::current_exe()?);
    sink.args(["--sink", &port.to_string()]);
    let mut namespace = Namespace::around(sink)?;
    namespace.connect(bed, Some(port))?;
    let sample = through(port);
    namespace.end()?;
    sample
}

/// A network namespace in which a program runs until this is dropped, and pasta if it has been connected.
struct Namespace {
    program: Child,
    pid_file: PathBuf,
}

impl Namespace {
    /// Makes one, for a user whom pasta can serve, and waits until the program is in it.
    fn around(program: Command) -> io::Result<Self> {
        let mut command = Command::new("unshare");
        if nix::unistd::geteuid().is_root() {
            command = Command::new("setpriv");
            command.args(["--reuid", NOBODY, "--regid", NOBODY, "--clear-groups", "unshare"]);
        }
        command.arg("-rn").arg(program.get_program()).args(program.get_args());
        let child = command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn()?;
        // In the folder of everybody: root's pasta writes it as nobody.
        let pid_file = std::env::temp_dir().join(format!("estiba-bench-pasta-{}", child.id()));
        let namespace = Self { program: child, pid_file };
        let own = fs::read_link("/proc/self/ns/net")?;
        let wanted = Path::new(program.get_program()).file_name().unwrap_or_default().to_owned();
        let until = Instant::now() + PATIENCE;
        while Instant::now() < until {
            let of = |file: &str| format!("/proc/{}/{file}", namespace.program.id());
            let other = fs::read_link(of("ns/net")).is_ok_and(|net| net != own);
            let executed = fs::read_to_string(of("cmdline"))
                .is_ok_and(|line| Path::new(line.split('\0').next().unwrap_or_default()).file_name() == Some(&wanted));
            if other && executed {
                return Ok(namespace);
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        Err(io::Error::other("unshare -rn made no network namespace"))
    }

    /// Has pasta connect it, and lead a port inside.
    fn connect(&mut self, bed: &Bed, port: Option<u16>) -> io::Result<Sample> {
        let mut command = bed.command(Tool::Pasta);
        let ports = port.map_or_else(|| "none".to_owned(), |port| format!("127.0.0.1/{port}"));
        command.args(["--config-net", "--quiet", "-t", &ports, "-u", "none", "-T", "none", "-U", "none", "--pid"]);
        command.arg(&self.pid_file).arg(self.program.id().to_string());
        bed.measure(&command)
    }

    /// Ends both.
    fn end(&mut self) -> io::Result<()> {
        if let Some(pid) = fs::read_to_string(&self.pid_file).ok().and_then(|text| text.trim().parse().ok()) {
            let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL);
        }
        let _ = fs::remove_file(&self.pid_file);
        self.program.kill()?;
        self.program.wait().map(drop)
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        // Nobody hears why not.
        let _ = self.end();
    }
}

/// Sends, once the port answers; the clock runs while bytes do.
fn through(port: u16) -> io::Result<Sample> {
    let block = vec![0x5a; 1 << 20];
    let deadline = Instant::now() + PATIENCE;
    loop {
        let attempt = || -> io::Result<Sample> {
            let mut stream = TcpStream::connect(("127.0.0.1", port))?;
            stream.set_write_timeout(Some(STALL))?;
            stream.set_read_timeout(Some(STALL))?;
            // A forwarder may take the connection before anybody listens behind it.
            stream.write_all(&block[..1])?;
            std::thread::sleep(Duration::from_millis(50));
            let start = Instant::now();
            for _ in 0..THROUGH >> 20 {
                stream.write_all(&block)?;
            }
            stream.shutdown(Shutdown::Write)?;
            stream.read_exact(&mut [0])?;
            Ok(Sample { seconds: start.elapsed().as_secs_f64(), peak: 0.0 })
        };
        match attempt() {
            Err(_) if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(100)),
            other => return other,
        }
    }
}
