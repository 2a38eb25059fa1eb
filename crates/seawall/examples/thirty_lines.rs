//! All the patterns around one flaky operation, in thirty lines.

use std::{io, time::Duration};

use seawall::{
    BulkheadConfig, CircuitBreakerConfig, Error, Policy, Priority, Rate, RateLimitConfig,
    RetryConfig, TimeoutConfig,
};

#[tokio::main]
async fn main() -> Result<(), seawall::Invalids> {
    let millis = Duration::from_millis;
    let mail = Policy::builder("mail")
        .deadline(millis(2_000)) // for the whole call, its waits and retries too
        .rate_limit(RateLimitConfig {
            rate: Some(Rate::per_second(50)),
            capacity: Some(20),
            ..Default::default()
        })
        .retry(RetryConfig { base_delay: millis(10), ..Default::default() })
        .circuit_breaker(CircuitBreakerConfig { failures: 3, ..Default::default() })
        .bulkhead(BulkheadConfig { max_concurrent: 10, ..Default::default() })
        .timeout(TimeoutConfig { attempt: millis(500), ..Default::default() }) // less, once learned
        .build()?;
    for letter in 1..=6 {
        let priority = if letter % 2 == 0 { Priority::High } else { Priority::Low };
        match mail.call().priority(priority).run(|| send(letter)).await {
            Ok(receipt) => println!("{letter}: {receipt}"),
            Err(Error::Refused(refused)) => println!("{letter}: not sent, {}", refused.refusal),
            Err(Error::TimedOut(late)) => println!("{letter}: cut by the {}", late.limit),
            Err(Error::Failed(error, tried)) => println!("{letter}: {error}{tried}"),
            Err(other) => println!("{letter}: {other}"), // needed: more kinds may come
        }
    }
    Ok(())
}

async fn send(letter: u32) -> io::Result<String> {
    tokio::time::sleep(Duration::from_millis(5)).await;
    if letter > 3 {
        return Err(io::ErrorKind::ConnectionReset.into());
    }
    Ok(format!("receipt {letter}"))
}
