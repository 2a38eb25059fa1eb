//! A call under a policy of three patterns: a deadline, retries, a circuit breaker.
//!
//! The service asked here refuses its first connection, so the answer is that of the second attempt, a tenth
//! of a second later.

use std::{
    io,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use seawall::{CircuitBreakerConfig, Error, Invalids, Policy, RetryConfig};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Invalids> {
    let quotes = Policy::builder("quotes").deadline(SECOND).retry(RetryConfig::default());
    let quotes = quotes.circuit_breaker(CircuitBreakerConfig::default()).build()?;
    match quotes.run(|| price("tea")).await {
        Ok(price) => println!("tea costs {price}"),
        Err(Error::Refused(refused)) => println!("not asked: {}", refused.refusal),
        Err(Error::TimedOut(late)) => println!("no answer after {:?}", late.after),
        Err(failed) => println!("asked, and failed: {failed}"),
    }
    Ok(())
}

async fn price(_of: &str) -> io::Result<u32> {
    static ASKED: AtomicBool = AtomicBool::new(false);
    if ASKED.swap(true, Ordering::Relaxed) {
        return Ok(3);
    }
    println!("connection refused, once");
    Err(io::ErrorKind::ConnectionRefused.into())
}

const SECOND: Duration = Duration::from_secs(1);
