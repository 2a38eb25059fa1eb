//! `cargo xtask fuzz --target breaker`
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| seawall_fuzz::breaker(data));
