//! `--secret` and `--ssh`, as buildx writes them.

use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};

use builder::ssh::{AgentPlace, AgentSource, Agents};
use builder::{MAX_SECRET, SecretPlace, SecretSource, Secrets};

use crate::context::variable;
use crate::error::{Error, Result};
use crate::keyed::Keyed;

/// The variable in which an agent is told to its clients.
const AGENT: &str = "SSH_AUTH_SOCK";

const SECRET_KEYS: [&str; 5] = ["id", "type", "src", "source", "env"];

/// All of `--secret`. What is not there, or too large, is told before anything is built.
pub(super) fn parse(written: &[String]) -> Result<Secrets> {
    written.iter().map(|written| secret(written)).collect::<Result<Vec<_>>>().map(Secrets::new)
}

fn secret(written: &str) -> Result<SecretSource> {
    let what = format!("--secret {written}");
    let mut keys = Keyed::parse(written)?;
    let id = keys.take(&["id"]).filter(|id| !id.is_empty());
    let kind = keys.take(&["type"]);
    let (mut path, mut env) = (keys.take(&["source", "src"]), keys.take(&["env"]));
    keys.finish(&what, &SECRET_KEYS)?;
    let id = id.ok_or_else(|| {
        Error::usage(format!("{what}: id= is missing")).hint("as in `--secret id=token,src=token.txt`")
    })?;
    match kind.as_deref() {
        None | Some("file") => {}
        Some("env") => env = env.or_else(|| path.take()),
        Some(other) => return Err(Error::usage(format!("{what}: the type is file or env, not `{other}`"))),
    }
    let place = match (path.filter(|path| !path.is_empty()), env.filter(|env| !env.is_empty())) {
        (Some(_), Some(_)) => return Err(Error::usage(format!("{what}: a file or a variable, not both"))),
        (None, Some(name)) => SecretPlace::Variable(name),
        (Some(path), None) => file(&what, &path)?,
        // As buildx: the variable of this name, else the file.
        (None, None) if kind.as_deref() != Some("file") && std::env::var_os(&id).is_some() => {
            SecretPlace::Variable(id.clone())
        }
        (None, None) if kind.as_deref() == Some("env") => SecretPlace::Variable(id.clone()),
        (None, None) => file(&what, &id)?,
    };
    if let SecretPlace::Variable(name) = &place
        && std::env::var_os(name).is_some_and(|value| value.len() as u64 > MAX_SECRET)
    {
        return Err(Error::failed(format!("{what}: ${name} has more than {} KiB", MAX_SECRET >> 10)));
    }
    Ok(SecretSource { id, place })
}

fn file(what: &str, written: &str) -> Result<SecretPlace> {
    let path = std::path::absolute(written)?;
    let found = std::fs::metadata(&path).map_err(|error| Error::failed(format!("{what}: {}: {error}", path.display())));
    let found = found?;
    if found.is_dir() {
        return Err(Error::failed(format!("{what}: {} is a folder: a secret is one file", path.display())));
    }
    if found.len() > MAX_SECRET {
        return Err(Error::failed(format!("{what}: {} has more than {} KiB", path.display(), MAX_SECRET >> 10))
            .hint("large files come from a named context: `--build-context NAME=DIR`"));
    }
    Ok(SecretPlace::File(path))
}

/// All of `--ssh`.
pub(super) fn agents(written: &[String]) -> Result<Agents> {
    written.iter().map(|written| agent(written)).collect::<Result<Vec<_>>>().map(Agents::new)
}

fn agent(written: &str) -> Result<AgentSource> {
    let what = format!("--ssh {written}");
    let (id, rest) = written.split_once('=').unwrap_or((written, ""));
    if id.is_empty() {
        return Err(Error::usage(format!("{what}: the id is missing")).hint("as in `--ssh default`"));
    }
    let mut raw = false;
    let mut paths: Vec<PathBuf> = Vec::new();
    for part in rest.split(',').filter(|part| !part.is_empty()) {
        match part {
            "raw=true" => raw = true,
            "raw=false" => raw = false,
            path => paths.push(std::path::absolute(path)?),
        }
    }
    if paths.is_empty() {
        let socket = variable(AGENT).filter(|path| !path.is_empty()).ok_or_else(|| {
            Error::failed(format!("{what}: no agent is running: {AGENT} is not set"))
                .hint(format!("start one (`eval $(ssh-agent) && ssh-add`), or name a key: `--ssh {id}=FILE`"))
        })?;
        paths.push(PathBuf::from(socket));
    }
    let place = match (sockets(&what, &paths)?, raw) {
        (0, true) => return Err(Error::usage(format!("{what}: raw=true takes a socket"))),
        (0, false) => AgentPlace::Keys(paths),
        (1, raw) if paths.len() == 1 => {
            let path = paths.swap_remove(0);
            if raw { AgentPlace::Raw(path) } else { AgentPlace::Socket(path) }
        }
        _ => return Err(Error::usage(format!("{what}: one socket, or any number of keys"))),
    };
    Ok(AgentSource { id: id.to_owned(), place })
}

/// How many of the paths are sockets.
fn sockets(what: &str, paths: &[PathBuf]) -> Result<usize> {
    let is_socket = |path: &Path| {
        let found = std::fs::metadata(path);
        found
            .map(|found| found.file_type().is_socket())
            .map_err(|error| Error::failed(format!("{what}: {}: {error}", path.display())))
    };
    paths.iter().try_fold(0, |count, path| Ok(count + usize::from(is_socket(path)?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_as_buildx_writes_them() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        std::fs::write(&path, "x").unwrap();
        let shown = path.display().to_string();
        let file = SecretPlace::File(path);
        let variable = |name: &str| SecretPlace::Variable(name.to_owned());
        for (written, expected) in [
            (format!("id=a,src={shown}"), file.clone()),
            (format!("type=file,id=a,source={shown}"), file),
            ("id=a,env=TOKEN".to_owned(), variable("TOKEN")),
            ("id=a,type=env,src=TOKEN".to_owned(), variable("TOKEN")),
            ("id=PATH".to_owned(), variable("PATH")),
            ("id=a,type=env".to_owned(), variable("a")),
        ] {
            assert_eq!(secret(&written).unwrap().place, expected, "{written}");
        }
        for bad in ["src=x", "id=", "id=a,src=/no/such/file", "id=a,type=x", "id=a,src=/", "id=a,srk=x", "id=nothing"] {
            assert!(secret(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn agents_as_buildx_writes_them() {
        let dir = tempfile::tempdir().unwrap();
        let (key, socket) = (dir.path().join("key"), dir.path().join("socket"));
        std::fs::write(&key, "x").unwrap();
        let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        let (key, socket) = (key.display(), socket.display());
        let place = |written: String| agent(&written).map(|agent| agent.place);
        assert_eq!(place(format!("a={socket}")).unwrap(), AgentPlace::Socket(socket.to_string().into()));
        assert_eq!(place(format!("a={socket},raw=true")).unwrap(), AgentPlace::Raw(socket.to_string().into()));
        let keys = AgentPlace::Keys(vec![key.to_string().into(), key.to_string().into()]);
        assert_eq!(place(format!("a={key},{key}")).unwrap(), keys);
        for bad in [format!("a={key},{socket}"), format!("a={socket},{socket}"), "=x".into(), "a=/no/such".into()] {
            assert!(place(bad.clone()).is_err(), "{bad}");
        }
    }
}
