//! The reader of configurations: any text is read or refused, with places that lie in it and in order.

use seawall::config::parse;

/// Reads `data` as a file.
///
/// # Panics
/// If a promise is broken.
pub fn config(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    match parse(&text, "fuzz.toml") {
        // What was read is checked: nothing is refused later.
        Ok(read) => read.policies.values().for_each(|config| {
            let mut wrong = Vec::new();
            config.check(&mut |invalid| wrong.push(invalid));
            assert!(wrong.is_empty(), "read, but {wrong:?}");
        }),
        Err(problems) => {
            assert!(!problems.as_slice().is_empty(), "refused without a reason");
            assert!(problems.as_slice().is_sorted(), "not in order");
        }
    }
}
