//! How the C library's allocator keeps what is freed.

/// What is larger is mapped by itself, and goes back to the kernel when it is freed.
const LARGE: libc::c_int = 256 * 1024;

/// Gives large buffers back to the kernel as soon as they are freed, for the rest of this process.
///
/// glibc raises its own threshold to the largest buffer that was ever freed, up to 32 MiB: a process that frees buffers of
/// megabytes in one thread and asks for them in another ends with a heap of holes. Other C libraries need no such word. See
/// mallopt(3).
pub fn return_large_buffers() {
    #[cfg(target_env = "gnu")]
    // SAFETY: it sets a number of the allocator's, under the allocator's own lock.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, LARGE);
    }
    #[cfg(not(target_env = "gnu"))]
    let _ = LARGE;
}
