//! The arena that holds the vertices.

use std::collections::HashMap;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{Canonical, Edge, Meta, Op, Vertex, VertexDigest};

/// How many vertices a graph may have: far more than any Dockerfile has instructions, and a bound on
/// what a hostile one can make us hold.
const MAX_VERTICES: usize = 1 << 20;

/// A directed acyclic graph of operations, in topological order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Graph {
    vertices: Vec<Vertex>,
    known: HashMap<(VertexDigest, bool), Edge>,
}

/// Why a graph that was read is not one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GraphError {
    /// An input that does not stand before the vertex.
    #[error("vertex {vertex} reads vertex {input}, which does not stand before it")]
    Input {
        /// Position of the vertex.
        vertex: usize,
        /// Position of what it reads.
        input: usize,
    },
    /// More vertices than [`Graph`] holds.
    #[error("the graph has more than {MAX_VERTICES} vertices")]
    TooLarge,
}

impl Graph {
    /// A graph without vertices.
    pub fn new() -> Graph {
        Graph::default()
    }

    /// Adds a vertex, or finds the equal one that is there already (its [`Meta`] stays).
    ///
    /// A vertex that ignores the cache is not equal to one that uses it.
    ///
    /// # Panics
    /// If an input is an edge of another, larger graph, or past 2³² vertices.
    pub fn add(&mut self, op: Op, inputs: Vec<Edge>, meta: Meta) -> Edge {
        let mut canonical = Canonical::new("vertex");
        canonical.op(&op);
        canonical.count("input", inputs.len());
        for input in &inputs {
            canonical.digest("input", self.vertices[input.index()].digest.digest());
        }
        let digest = VertexDigest(canonical.finish());
        if let Some(edge) = self.known.get(&(digest, meta.ignore_cache)) {
            return *edge;
        }
        let edge = Edge(u32::try_from(self.vertices.len()).unwrap_or(u32::MAX));
        self.known.insert((digest, meta.ignore_cache), edge);
        self.vertices.push(Vertex { op, inputs, digest, meta });
        edge
    }

    /// Takes in the vertices of another graph; those that are there already are one. Says where each of the other's edges, by
    /// its index, stands here.
    pub fn absorb(&mut self, other: Graph) -> Vec<Edge> {
        let mut here: Vec<Edge> = Vec::with_capacity(other.len());
        for Vertex { op, inputs, meta, .. } in other.vertices {
            let inputs = inputs.iter().map(|input| here[input.index()]).collect();
            here.push(self.add(op, inputs, meta));
        }
        here
    }

    /// The vertex that an edge of this graph points to.
    ///
    /// # Panics
    /// If the edge belongs to another, larger graph.
    pub fn vertex(&self, edge: Edge) -> &Vertex {
        &self.vertices[edge.index()]
    }

    /// All vertices; each after everything that it reads.
    pub fn vertices(&self) -> impl DoubleEndedIterator<Item = (Edge, &Vertex)> {
        self.vertices.iter().enumerate().map(|(index, vertex)| (Edge(index as u32), vertex))
    }

    /// How many vertices there are.
    pub fn len(&self) -> usize {
        self.vertices.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.vertices.is_empty()
    }

    /// What `roots` need, themselves included, in topological order.
    pub fn reachable(&self, roots: &[Edge]) -> Vec<Edge> {
        let mut needed = vec![false; self.vertices.len()];
        for root in roots {
            needed[root.index()] = true;
        }
        for (edge, vertex) in self.vertices().rev() {
            if needed[edge.index()] {
                for input in &vertex.inputs {
                    needed[input.index()] = true;
                }
            }
        }
        self.vertices().map(|(edge, _)| edge).filter(|edge| needed[edge.index()]).collect()
    }
}

/// What crosses a process boundary; digests are made again on the other side.
#[derive(Serialize, Deserialize)]
struct Stored<O, I, M> {
    op: O,
    inputs: I,
    meta: M,
}

impl Serialize for Graph {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.vertices.iter().map(|vertex| Stored {
            op: &vertex.op,
            inputs: &vertex.inputs,
            meta: &vertex.meta,
        }))
    }
}

impl<'de> Deserialize<'de> for Graph {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Graph, D::Error> {
        let stored = Vec::<Stored<Op, Vec<Edge>, Meta>>::deserialize(deserializer)?;
        if stored.len() > MAX_VERTICES {
            return Err(serde::de::Error::custom(GraphError::TooLarge));
        }
        let mut graph = Graph::new();
        for (index, Stored { op, inputs, meta }) in stored.into_iter().enumerate() {
            if let Some(input) = inputs.iter().find(|input| input.index() >= index) {
                let error = GraphError::Input { vertex: index, input: input.index() };
                return Err(serde::de::Error::custom(error));
            }
            graph.add(op, inputs, meta);
        }
        Ok(graph)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Exec, Source};

    fn run(graph: &mut Graph, base: Edge, command: &str) -> Edge {
        let exec =
            Exec { args: vec!["/bin/sh".into(), "-c".into(), command.into()], cwd: "/".into(), ..Exec::default() };
        graph.add(Op::Exec(exec), vec![base], Meta { name: format!("RUN {command}"), ..Meta::default() })
    }

    #[test]
    fn equal_vertices_are_one() {
        let mut graph = Graph::new();
        let base = graph.add(Op::Source(Source::Scratch), vec![], Meta::default());
        let a = run(&mut graph, base, "make");
        let b = run(&mut graph, base, "make");
        let c = run(&mut graph, a, "make");
        assert_eq!(a, b);
        assert_ne!(a, c);
        assert_eq!(graph.len(), 3);
        assert_eq!(graph.reachable(&[a]), [base, a]);
    }

    #[test]
    fn graphs_of_two_platforms_share_what_is_equal() {
        let (mut one, mut two) = (Graph::new(), Graph::new());
        let base = one.add(Op::Source(Source::Scratch), vec![], Meta::default());
        let first = run(&mut one, base, "make");
        two.add(Op::Source(Source::Local { name: "context".into() }), vec![], Meta::default());
        let base = two.add(Op::Source(Source::Scratch), vec![], Meta::default());
        let same = run(&mut two, base, "make");
        let other = run(&mut two, same, "make install");
        let here = one.absorb(two);
        assert_eq!(here[same.index()], first);
        assert_eq!(one.vertex(here[other.index()]).inputs(), [first]);
        assert_eq!(one.len(), 4);
        assert_eq!(one.reachable(&[first]).len(), 2);
    }

    /// A change here is a change of every cache key: raise the version in canonical.rs.
    #[test]
    fn golden_digests() {
        let graph = every_operation();
        let found: String = graph.vertices().map(|(_, v)| format!("{} {}\n", v.meta().name, v.digest())).collect();
        assert_eq!(found, include_str!("golden.txt"));
    }

    /// One vertex of each operation and mount, every optional field present in one of them.
    fn every_operation() -> Graph {
        use crate::*;
        let mut graph = Graph::new();
        let mut add = |name: &str, op: Op, inputs: Vec<Edge>| {
            graph.add(op, inputs, Meta { name: name.to_owned(), ..Meta::default() })
        };
        let manifest = oci::Digest::sha256(b"manifest");
        let scratch = add("scratch", Op::Source(Source::Scratch), vec![]);
        let platform = oci::Platform::new("linux", "arm", Some("v7"));
        let image = Source::Image { reference: "not hashed".into(), manifest, platform };
        let image = add("image", Op::Source(image), vec![]);
        let local = add("local", Op::Source(Source::Local { name: "context".into() }), vec![]);
        let http = Http { url: "not hashed".into(), digest: manifest, filename: "f".into() };
        add("http", Op::Source(Source::Http(http)), vec![]);
        let git = Git {
            url: "u".into(),
            reference: Some("not hashed".into()),
            commit: "c".into(),
            subdir: Some("d".into()),
            keep_git_dir: true,
            submodules: true,
        };
        add("git", Op::Source(Source::Git(git)), vec![]);
        let mount = |kind| Mount { target: "/m".into(), readonly: true, kind };
        let exec = Exec {
            args: vec!["a".into(), "b".into()],
            env: vec![("K".into(), "V".into())],
            proxy_env: vec![("http_proxy".into(), "not hashed".into())],
            cwd: "/w".into(),
            user: "u:g".into(),
            hostname: Some("h".into()),
            network: Network::None,
            security: Security::Insecure,
            mounts: vec![
                mount(MountKind::Bind { input: 1, source: "/s".into() }),
                mount(MountKind::Cache {
                    id: "i".into(),
                    sharing: Sharing::Locked,
                    seed: Some((1, "/s".into())),
                    mode: 0o755,
                    uid: 1,
                    gid: 2,
                }),
                mount(MountKind::Tmpfs { size: Some(1) }),
                mount(MountKind::File { data: b"d".to_vec(), mode: 0o700 }),
                mount(MountKind::Secret {
                    id: "i".into(),
                    env: Some("E".into()),
                    required: true,
                    mode: 0o400,
                    uid: 1,
                    gid: 2,
                }),
                mount(MountKind::Ssh { id: "i".into(), required: true, mode: 0o600, uid: 1, gid: 2 }),
            ],
        };
        let exec = add("exec", Op::Exec(exec), vec![image, local]);
        let owner = Some(Owner { user: Id::Name("u".into()), group: Some(Id::Number(7)) });
        let file = FileOp {
            actions: vec![
                FileAction::Copy(Copy {
                    input: 1,
                    sources: vec!["a*".into()],
                    dest: "/d/".into(),
                    dest_is_dir: true,
                    owner: owner.clone(),
                    mode: Some(ModeChange::Symbolic("u+x".into())),
                    exclude: vec!["b".into()],
                    parents: true,
                    unpack: Unpack::Archives,
                    keep_owner: true,
                }),
                FileAction::WriteFile {
                    path: "/f".into(),
                    data: b"d".to_vec(),
                    mode: Some(ModeChange::Octal(0o644)),
                    owner: owner.clone(),
                },
                FileAction::MakeDir { path: "/d".into(), mode: 0o755, owner, parents: true },
            ],
        };
        let file = add("file", Op::File(file), vec![scratch, local]);
        add("merge", Op::Merge(Merge {}), vec![exec, file]);
        graph
    }

    #[test]
    fn crosses_a_process_boundary_whole_and_refuses_cycles() {
        let mut graph = Graph::new();
        let base = graph.add(Op::Source(Source::Scratch), vec![], Meta::default());
        run(&mut graph, base, "make");
        let text = serde_json::to_string(&graph).unwrap();
        assert_eq!(serde_json::from_str::<Graph>(&text).unwrap(), graph);
        let cyclic = text.replace("\"inputs\":[0]", "\"inputs\":[1]");
        assert!(serde_json::from_str::<Graph>(&cyclic).unwrap_err().to_string().contains("does not stand before"));
    }
}
