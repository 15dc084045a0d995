//! Namespaces: leaving them, mapping ids into them, and who may use which ids.
