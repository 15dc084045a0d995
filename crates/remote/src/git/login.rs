//! The login for a repository: out of its address, or given beside it. It never stands in an argument, which all users of a
//! machine can read, but in the program's environment.

use url::Url;

use crate::web::basic;

/// A repository's address without its login, and the header that the login makes.
#[derive(Clone, PartialEq, Eq)]
pub struct Login {
    /// The address as it may be shown, kept, and given to programs.
    pub remote: String,
    header: Option<String>,
}

impl std::fmt::Debug for Login {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Login").field("remote", &self.remote).field("header", &self.header.is_some()).finish()
    }
}

impl Login {
    /// Takes the login out of an address.
    pub fn of(address: &str) -> Self {
        let Some((scheme @ ("http" | "https"), _)) = address.split_once("://") else {
            return Self { remote: without_password(address), header: None };
        };
        match Url::parse(address) {
            Ok(mut url) if !url.username().is_empty() || url.password().is_some() => {
                let value = basic(url.username(), url.password().unwrap_or_default());
                // They cannot fail for a URL with a host.
                let _ = url.set_username("");
                let _ = url.set_password(None);
                Self { remote: url.to_string(), header: Some(format!("Authorization: {value}")) }
            }
            Ok(_) => Self { remote: address.to_owned(), header: None },
            Err(_) => {
                // What is no URL is git's to refuse, without what might be a password.
                let rest = address.rsplit('@').next().unwrap_or_default().trim_start_matches(&format!("{scheme}://"));
                Self { remote: format!("{scheme}://{rest}"), header: None }
            }
        }
    }

    /// With a token, as hosts of repositories take them, unless there is a login already.
    #[must_use]
    pub fn or_token(mut self, token: &str) -> Self {
        self.header.get_or_insert_with(|| format!("Authorization: {}", basic_raw("x-access-token", token)));
        self
    }

    /// With the value of an `Authorization` header, unless there is a login already.
    #[must_use]
    pub fn or_header(mut self, value: &str) -> Self {
        self.header.get_or_insert_with(|| format!("Authorization: {value}"));
        self
    }

    /// The repository's host.
    pub fn host(&self) -> Option<String> {
        match self.remote.split_once("://") {
            Some(_) => Url::parse(&self.remote).ok()?.host_str().map(str::to_owned),
            None => Some(self.remote.split_once(':')?.0.rsplit('@').next()?.to_owned()),
        }
    }

    /// Whether it speaks http.
    pub fn is_http(&self) -> bool {
        self.remote.starts_with("http://") || self.remote.starts_with("https://")
    }

    /// The configuration that makes git send the login: key and value. It is for addresses below the repository's; those of
    /// the one host that serves most submodules of most repositories have it for all of that host, as BuildKit does.
    pub(super) fn configuration(&self) -> Option<(String, String)> {
        const SHARED: &str = "https://github.com/";
        let header = self.header.as_ref().filter(|_| self.is_http())?;
        let scope = if self.remote.starts_with(SHARED) { SHARED } else { &self.remote };
        Some((format!("http.{scope}.extraHeader"), header.clone()))
    }
}

/// `Basic …` of words that stand for themselves.
fn basic_raw(user: &str, password: &str) -> String {
    use base64::Engine as _;
    format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}")))
}

/// An ssh address keeps its user's name, which is no secret, and loses a password, which ssh would not take.
fn without_password(address: &str) -> String {
    let Some((scheme, rest)) = address.split_once("://") else { return address.to_owned() };
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    match authority.rsplit_once('@') {
        Some((login, host)) => {
            format!("{scheme}://{}@{host}{path}", login.split(':').next().unwrap_or_default())
        }
        None => address.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logins_leave_addresses() {
        let login = Login::of("https://me:s3cret@h:8443/o/r.git");
        assert_eq!(login.remote, "https://h:8443/o/r.git");
        let (key, value) = login.configuration().unwrap();
        assert_eq!(key, "http.https://h:8443/o/r.git.extraHeader");
        assert_eq!(value, "Authorization: Basic bWU6czNjcmV0");
        assert!(!format!("{login:?}").contains("Basic"));
        assert_eq!(Login::of("ssh://git:pw@h/r").remote, "ssh://git@h/r");
        assert_eq!(Login::of("git@h:r").remote, "git@h:r");
        assert_eq!(Login::of("git@h:r").host().as_deref(), Some("h"));
        assert_eq!(Login::of("https://h/r.git").configuration(), None);
        let token = Login::of("https://github.com/o/r.git").or_token("t");
        assert_eq!(token.configuration().unwrap().0, "http.https://github.com/.extraHeader");
        assert_eq!(Login::of("git://h/r").or_token("t").configuration(), None);
    }
}
