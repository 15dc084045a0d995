//! Extended attributes, of what a descriptor or a (directory, name) pair names; links are never followed.
