//! What a RUN may have only where the build was told so: BuildKit's entitlements.

use graph::{Edge, Graph, Network, Op, Security};

use crate::Allow;

/// A RUN that asks for what it was not allowed.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("`{flag}` is not allowed here: a build that may have it is started with `--allow {name}`")]
pub(crate) struct NotAllowed {
    flag: &'static str,
    name: &'static str,
}

/// Looks through the vertices of a build before any of them is run, or found.
pub(crate) fn check(graph: &Graph, order: &[Edge], allow: Allow) -> Result<(), (Edge, NotAllowed)> {
    for edge in order {
        let Op::Exec(exec) = graph.vertex(*edge).op() else { continue };
        if exec.security == Security::Insecure && !allow.security_insecure {
            return Err((*edge, NotAllowed { flag: "RUN --security=insecure", name: "security.insecure" }));
        }
        if exec.network == Network::Host && !allow.network_host {
            return Err((*edge, NotAllowed { flag: "RUN --network=host", name: "network.host" }));
        }
    }
    Ok(())
}
