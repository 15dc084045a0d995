//! What to do when a call of an upload failed. Pure.

use http::StatusCode;

use crate::error::Error;

/// What may help.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Remedy {
    /// Ask what the registry has, and go on from there.
    Ask,
    /// Begin a new upload.
    Anew,
    /// Begin a new upload, in small chunks: something on the way takes no long bodies.
    Chunks,
    /// Nothing.
    GiveUp,
}

/// What the upload was like when the call failed.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Case {
    /// A part of it was sent after a break: what the registry has may be wrong.
    pub(super) resumed: bool,
    /// The last answer was the same, and nothing moved since.
    pub(super) stuck: bool,
    /// It is sent in small chunks already.
    pub(super) in_chunks: bool,
}

impl Remedy {
    pub(super) fn of(error: &Error, case: Case) -> Self {
        let status = match error {
            Error::Transport { .. } => return Remedy::Ask,
            // The token ended on the way: asking fetches another one. Where that is refused too, it is a refusal.
            Error::Unauthorized { .. } => return if case.stuck { Remedy::GiveUp } else { Remedy::Ask },
            Error::Status { status, .. } => *status,
            _ => return Remedy::GiveUp,
        };
        if crate::retry::is_temporary(status) {
            return Remedy::Ask;
        }
        match status {
            StatusCode::RANGE_NOT_SATISFIABLE if case.stuck => Remedy::Anew,
            StatusCode::RANGE_NOT_SATISFIABLE => Remedy::Ask,
            StatusCode::NOT_FOUND | StatusCode::GONE => Remedy::Anew,
            StatusCode::PAYLOAD_TOO_LARGE if !case.in_chunks => Remedy::Chunks,
            // The call that broke is still being worked on, or hangs there until the registry gives it up.
            StatusCode::CONFLICT if case.stuck => Remedy::Anew,
            StatusCode::CONFLICT => Remedy::Ask,
            StatusCode::BAD_REQUEST if case.resumed => Remedy::Anew,
            _ => Remedy::GiveUp,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Place;

    fn status(code: u16) -> Error {
        let place = Place { registry: "r".into(), repository: "a".into() };
        let status = StatusCode::from_u16(code).unwrap();
        Error::Status { place, what: "upload".into(), status, errors: Vec::new(), retry_after: None, rate_limit: None }
    }

    #[test]
    fn remedies() {
        let case = Case::default();
        let resumed = Case { resumed: true, ..case };
        let stuck = Case { stuck: true, ..case };
        let chunks = Case { in_chunks: true, ..case };
        for (code, case, expected) in [
            (500, case, Remedy::Ask),
            (503, stuck, Remedy::Ask),
            (429, case, Remedy::Ask),
            (416, case, Remedy::Ask),
            (416, stuck, Remedy::Anew),
            (409, case, Remedy::Ask),
            (409, stuck, Remedy::Anew),
            (404, case, Remedy::Anew),
            (413, case, Remedy::Chunks),
            (413, chunks, Remedy::GiveUp),
            (400, case, Remedy::GiveUp),
            (400, resumed, Remedy::Anew),
            (403, resumed, Remedy::GiveUp),
        ] {
            assert_eq!(Remedy::of(&status(code), case), expected, "{code}");
        }
        let place = Place { registry: "r".into(), repository: "a".into() };
        let unauthorized =
            Error::Unauthorized { place, what: "upload".into(), had_credentials: true, errors: Vec::new() };
        assert_eq!(Remedy::of(&unauthorized, case), Remedy::Ask);
        assert_eq!(Remedy::of(&unauthorized, stuck), Remedy::GiveUp);
    }
}
