//! `cargo xtask fuzz --target budget`
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| seawall_fuzz::budget(data));
