//! Dockerfile text → syntax tree → build graph, without any side effect.
//!
//! ```text
//! SourceText::new ─parse→ Parsed { dockerfile, diagnostics }
//! Plan::new(dockerfile, …); while let Some(wanted) = plan.wanted() { plan.provide(wanted, …) }
//! plan.lower() → Lowered { graph, root, config, warnings }
//! ```
//!
//! The frontend asks and never fetches: [`Plan::wanted`] names the image
//! configurations that the reachable stages need, one after another, since an
//! `ONBUILD` trigger in one may lead to another; then the commits and files that
//! their ADDs name, whose addresses only the images' variables complete.
//! The language is the Dockerfile syntax 1.26; where its reference and BuildKit
//! differ, this follows BuildKit, and a comment says so.

pub mod diagnostic;
mod directive;
mod environment;
mod flag;
pub mod git_url;
mod go_text;
mod heredoc;
pub mod instruction;
mod limit;
mod line;
pub mod lint;
mod lower;
pub mod outline;
mod plan;
pub mod run_mount;
mod source;
mod syntax;
mod word;

pub use diagnostic::{Diagnostic, Edit, Severity};
pub use directive::{Directive, Directives};
pub use flag::{FlagKind, FlagSpec};
pub use git_url::GitUrl;
pub use heredoc::Heredoc;
pub use lower::{Epoch, Lowered};
pub use plan::{NamedContext, Options, Plan, Provided, Wanted};
pub use source::{MAX_BYTES, Position, SourceText, Span};
pub use syntax::{Dockerfile, How, Parsed, Place, Stage, Statement, parse, parse_how};
pub use word::{Expanded, Expander, Variables, Word, WordError};
