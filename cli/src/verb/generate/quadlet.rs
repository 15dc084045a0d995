//! `estiba generate quadlet`, and the generator of systemd that it is under another name.

use std::fs;
use std::io::Read as _;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use containers::systemd::quadlet::{Descriptions, Generated, Grounds, Source};
use containers::systemd::unit::{MAX_LENGTH, Unit};

use crate::context::Context;
use crate::error::{Error, Result, While, code};
use crate::ui::{self, style};

const HELP: &str = "\
Examples:
  estiba generate quadlet --dry-run            Print the units that there would be
  ln -s /usr/bin/estiba /usr/lib/systemd/system-generators/estiba-system-generator
  ln -s /usr/bin/estiba /usr/lib/systemd/user-generators/estiba-user-generator

Linked like this, systemd calls it at each start and `daemon-reload`: a file web.container in
/etc/estiba/systemd (or ~/.config/estiba/systemd, for a user's services) is then web.service.
The keys are those of podman's Quadlet; EstibaArgs= holds options of `estiba run` that have no key.";

/// Arguments of `estiba generate quadlet`.
#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub(super) struct Args {
    /// The folders of systemd for generated units: only the first is used
    #[arg(value_name = "FOLDER", num_args = 0..=3)]
    folders: Vec<PathBuf>,
    /// For the service manager of a user, as always when root does not ask
    #[arg(long)]
    user: bool,
    /// Print the units instead of writing them
    #[arg(long, visible_alias = "dryrun")]
    dry_run: bool,
    /// Read the descriptions here instead of in the usual folders
    #[arg(long, value_name = "DIR")]
    dir: Vec<PathBuf>,
}

/// Runs the verb. One description that cannot be made into a unit keeps no other from being one.
pub(super) fn run(args: Args, _context: &Context) -> Result<u8> {
    let target = match args.folders.first() {
        Some(folder) => Some(folder.clone()),
        None if args.dry_run => None,
        None => {
            return Err(Error::usage("where to?")
                .hint("name a folder for the units, or say --dry-run")
                .hint("`estiba generate quadlet --help` tells how systemd calls it"));
        }
    };
    let binary = std::env::current_exe().during("find this program")?;
    let user = args.user || !rustix::process::geteuid().is_root();
    let grounds = Grounds { binary, user };
    let mut failed = false;
    let mut all = Descriptions::default();
    for folder in if args.dir.is_empty() { usual_folders(user) } else { args.dir } {
        for path in files(&folder)? {
            match read(&path) {
                Ok(unit) => all.add(Source { path, unit }),
                Err(error) => complain(&path, &error, &mut failed),
            }
        }
    }
    for (path, made) in all.generate(&grounds) {
        match (made, &target) {
            (Err(error), _) => complain(path, &error.into(), &mut failed),
            (Ok(unit), Some(folder)) if !args.dry_run => write(folder, &unit)?,
            (Ok(unit), _) => ui::out(&format!("# {}\n{}\n", unit.name, unit.text))?,
        }
    }
    Ok(if failed { code::FAILED } else { 0 })
}

fn complain(path: &Path, error: &Error, failed: &mut bool) {
    *failed = true;
    ui::err(&format!("{} {}: {}\n", style::error("error:"), path.display(), error.message()));
}

/// Where descriptions are, the first that has a name counts.
fn usual_folders(user: bool) -> Vec<PathBuf> {
    if let Some(folders) = std::env::var_os("ESTIBA_UNIT_DIRS") {
        return std::env::split_paths(&folders).collect();
    }
    if !user {
        return ["/run", "/etc", "/usr/share"].map(|place| Path::new(place).join("estiba/systemd")).to_vec();
    }
    let of = |variable: &str| std::env::var_os(variable).map(PathBuf::from).filter(|path| path.is_absolute());
    let config = of("XDG_CONFIG_HOME").or_else(|| Some(of("HOME")?.join(".config")));
    let users = Path::new("/etc/estiba/systemd/users");
    let own = users.join(rustix::process::getuid().as_raw().to_string());
    let homes = [of("XDG_RUNTIME_DIR"), config].into_iter().flatten().map(|home| home.join("estiba/systemd"));
    homes.chain([own, users.to_path_buf()]).collect()
}

/// The descriptions of a folder, by name.
fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.during(format!("read {}", folder.display()))?,
    };
    let mut all = Vec::new();
    for entry in entries {
        let path = entry.during(format!("read {}", folder.display()))?.path();
        let kinds = ["container", "volume", "network", "image", "build", "pod", "kube"];
        if path.extension().is_some_and(|kind| kinds.iter().any(|known| kind == *known)) && path.is_file() {
            all.push(path);
        }
    }
    all.sort();
    Ok(all)
}

/// A description, with what the files of its `.d` folder add.
fn read(path: &Path) -> Result<Unit> {
    let mut unit = Unit::parse(&text(path)?)?;
    let mut folder = path.as_os_str().to_owned();
    folder.push(".d");
    let mut additions: Vec<PathBuf> = match fs::read_dir(&folder) {
        Ok(entries) => entries.flatten().map(|entry| entry.path()).collect(),
        Err(_) => Vec::new(),
    };
    additions.retain(|path| path.extension().is_some_and(|extension| extension == "conf"));
    additions.sort();
    for addition in additions {
        unit.merge(Unit::parse(&text(&addition)?).during(format!("{}", addition.display()))?);
    }
    Ok(unit)
}

fn text(path: &Path) -> Result<String> {
    let mut text = String::new();
    let file = fs::File::open(path).during(format!("open {}", path.display()))?;
    file.take(MAX_LENGTH as u64 + 1).read_to_string(&mut text).during(format!("read {}", path.display()))?;
    Ok(text)
}

fn write(folder: &Path, unit: &Generated) -> Result {
    let path = folder.join(&unit.name);
    fs::write(&path, &unit.text).during(format!("write {}", path.display()))?;
    for link in &unit.links {
        let at = folder.join(link);
        // An instance of a template is a link to the template.
        let target =
            if link.components().count() > 1 { Path::new("..").join(&unit.name) } else { unit.name.clone().into() };
        if let Some(parent) = at.parent() {
            fs::create_dir_all(parent).during(format!("make {}", parent.display()))?;
        }
        symlink(&target, &at).during(format!("link {}", at.display()))?;
    }
    Ok(())
}
