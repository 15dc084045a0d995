//! `estiba registry htpasswd`.

use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use registry_server::auth::htpasswd::{self, Htpasswd, Kind};

use crate::context::Context;
use crate::error::{Error, Result};
use crate::ui;

const EXAMPLES: &str = "\
Examples:
  estiba registry htpasswd ann                             Ask for a password, print the line
  estiba registry htpasswd ann --file htpasswd             Put it into the file, in the place of ann's old one
  pass show registry | estiba registry htpasswd ann --file htpasswd
  estiba registry htpasswd ann --file htpasswd --delete    Take ann out

The server reads the file again by itself.";

/// bcrypt's cost where nobody names one: 50 ms.
const BCRYPT_COST: u32 = 10;

/// Arguments of `estiba registry htpasswd`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// Whose line
    name: String,
    /// The file to change, made where it is not there; without it the line is printed
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Hash by bcrypt, for programs that know no argon2
    #[arg(long, value_name = "COST", num_args = 0..=1, require_equals = true, default_missing_value = "10")]
    bcrypt: Option<u32>,
    /// Take the line out of the file
    #[arg(long, requires = "file", conflicts_with = "bcrypt")]
    delete: bool,
}

/// Runs the verb.
pub(super) fn run(args: Args, _context: &Context) -> Result<u8> {
    let kind = args.bcrypt.map_or(Kind::Argon2, |cost| Kind::Bcrypt(if cost == 0 { BCRYPT_COST } else { cost }));
    let line =
        if args.delete { None } else { Some(htpasswd::line(&args.name, &ui::secret::ask("Password: ")?, kind)?) };
    match args.file {
        Some(file) => change(&file, &args.name, line.as_deref())?,
        None => ui::out(&format!("{}\n", line.unwrap_or_default()))?,
    }
    Ok(0)
}

/// Replaces a name's line, adds it, or takes it out; all others stay as they are. The file is there before and after, whole.
fn change(path: &Path, name: &str, line: Option<&str>) -> Result {
    let (old, mode) = match std::fs::read_to_string(path) {
        Ok(text) => (text, std::fs::metadata(path)?.permissions().mode() & 0o777),
        Err(error) if error.kind() == io::ErrorKind::NotFound => (String::new(), 0o600),
        Err(error) => return Err(Error::from(error).context(path.display())),
    };
    let is_its = |line: &&str| line.split_once(':').is_some_and(|(found, _)| found == name);
    if line.is_none() && !old.lines().any(|line| is_its(&line)) {
        return Err(Error::failed(format!("`{name}` is not in {}", path.display())));
    }
    let mut lines: Vec<&str> = old.lines().filter(|line| !is_its(line)).collect();
    lines.extend(line);
    let mut text = lines.join("\n");
    text.push('\n');
    // A file that the server would refuse is not written.
    Htpasswd::parse(text.as_bytes()).map_err(|reason| Error::failed(format!("{}:{reason}", path.display())))?;
    let next =
        path.with_file_name(format!(".{}.{}", path.file_name().unwrap_or_default().display(), std::process::id()));
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(&next)?;
    let written = file.write_all(text.as_bytes()).and_then(|()| file.sync_all());
    written.and_then(|()| std::fs::rename(&next, path)).map_err(|error| {
        // What is half written is of no use; the first failure counts.
        let _ = std::fs::remove_file(&next);
        Error::from(error).context(path.display())
    })
}
