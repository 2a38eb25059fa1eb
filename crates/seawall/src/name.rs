//! What a policy may be called: the same in code and in files.
//!
//! A name ends up in metrics, in errors and on command lines, where a quote or the end of a line would end it.

use seawall_core::Invalid;

/// Whether it is one.
pub(crate) fn is_name(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    (1..=NAME_BYTES_MAX).contains(&name.len()) && name.bytes().all(plain)
}

/// Tells what is none.
pub(crate) fn check_name(name: &str, found: &mut dyn FnMut(Invalid)) {
    if !is_name(name) {
        found(Invalid::new("name", format_args!("{name:?}"), NAME));
    }
}

/// What is a name.
pub(crate) const NAME: &str = "1 to 64 letters, digits, `-` or `_`";

/// The length of a label in a host name, and one more.
const NAME_BYTES_MAX: usize = 64;
