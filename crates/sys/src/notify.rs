//! seccomp user notification: answering another process's system calls.
