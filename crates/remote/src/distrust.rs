//! Why one side of a connection does not believe the other.

/// Why there is no encrypted connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Distrust {
    /// Nobody that we believe has signed the host's certificate: `certs.d/HOST/*.crt` is missing, or it is not the host.
    Unknown,
    /// The certificate is for other names.
    Name,
    /// The certificate has ended, or has not begun.
    Time,
    /// The certificate is otherwise bad.
    Bad,
    /// The host wants a client certificate (`certs.d/HOST/*.cert`), or does not take ours.
    Ours,
}

impl Distrust {
    /// What a failed call says of it; `None` where it failed for something else.
    pub(crate) fn of(error: &(dyn std::error::Error + 'static)) -> Option<Self> {
        use rustls::{AlertDescription, CertificateError, Error as Tls};
        let mut next = Some(error);
        while let Some(error) = next {
            // An I/O error hides what it holds from `source`.
            let inner = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
            if let Some(inner) = inner {
                return Self::of(inner);
            }
            match error.downcast_ref::<Tls>() {
                Some(Tls::InvalidCertificate(problem)) => {
                    return Some(match problem {
                        CertificateError::UnknownIssuer => Self::Unknown,
                        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                            Self::Name
                        }
                        CertificateError::Expired
                        | CertificateError::ExpiredContext { .. }
                        | CertificateError::NotValidYet
                        | CertificateError::NotValidYetContext { .. } => Self::Time,
                        _ => Self::Bad,
                    });
                }
                Some(Tls::AlertReceived(
                    AlertDescription::CertificateRequired
                    | AlertDescription::BadCertificate
                    | AlertDescription::UnsupportedCertificate
                    | AlertDescription::CertificateExpired
                    | AlertDescription::CertificateRevoked
                    | AlertDescription::CertificateUnknown
                    | AlertDescription::UnknownCA
                    | AlertDescription::DecryptError
                    | AlertDescription::AccessDenied,
                )) => return Some(Self::Ours),
                Some(_) => return None,
                None => {}
            }
            next = error.source();
        }
        None
    }
}
