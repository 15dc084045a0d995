//! Names of images: reading ends and never panics; every form of a name that was read means the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use oci::Reference;

fuzz_target!(|text: &str| {
    let Ok(read) = text.parse::<Reference>() else { return };
    for form in [read.to_string(), read.familiar()] {
        match form.parse::<Reference>() {
            Ok(again) => assert_eq!(again, read, "{form}"),
            Err(error) => panic!("{form}: {error}"),
        }
    }
    // A name becomes part of paths and addresses.
    let repository = read.repository().as_str();
    assert!(!repository.is_empty() && !repository.split('/').any(|part| matches!(part, "" | "." | "..")));
    assert!(!read.registry().contains(['/', '@', '?', '#', '\\']) && !read.registry().is_empty());
});
