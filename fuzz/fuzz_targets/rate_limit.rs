//! `cargo xtask fuzz --target rate_limit`
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| seawall_fuzz::rate_limit(data));
