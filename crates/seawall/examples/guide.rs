//! The guide's snippets, in its order, under its names: what each of them does here, and what it prints.
//!
//! On tokio's clock, paused: minutes pass at once, and it prints the same every time. A program of your own says nothing
//! of clocks, and leaves `_with_clock` and the last argument out.

use std::{
    error::Error as AnyError,
    future::ready,
    io::{self, Write},
    time::Duration,
};

use seawall::{
    Clock, Error, Rate, Ratio, Status,
    guide::{
        AdaptiveTimeout, Bulkhead, BulkheadConfig, CircuitBreaker, CircuitBreakerConfig,
        DistributedResilienceService, LeakyBucket, PriorityLevel, RetryConfig, RetryManager,
        RetryStrategy, SlidingWindowCounter, TimeoutConfig, TokenBucket,
    },
};

fn main() -> Result<(), Box<dyn AnyError>> {
    tell(&mut io::stdout())
}

/// All of it.
pub(crate) fn tell(out: &mut impl Write) -> Result<(), Box<dyn AnyError>> {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.enable_time().start_paused(true).build()?.block_on(async {
        retry(out).await?;
        circuit_breaker(out).await?;
        bulkhead(out).await?;
        adaptive_timeout(out)?;
        rate_limiting(out)?;
        observability(out).await
    })
}

/// Module 1: retry with backoff, jitter and a budget; which answers are retried.
async fn retry(out: &mut impl Write) -> Result<(), Box<dyn AnyError>> {
    let config = RetryConfig {
        max_retries: 3,
        base_delay: Duration::from_millis(100),
        max_delay: Duration::from_secs(60),
        jitter: seawall::Jitter::Fraction(Ratio::percent(50)), // on either side, inside the cap
        strategy: RetryStrategy::Exponential,
        ..RetryConfig::default()
    };
    let retry_manager = RetryManager::with_clock("quotes", config, Clock::tokio())?;
    let result = retry_manager
        .run_with(|attempt| ready(if attempt.number < 3 { Err(busy()) } else { Ok(42) }))
        .await?;
    writeln!(out, "retry: {result} at the third attempt")?;

    let config = RetryConfig { budget: Ratio::percent(10), ..RetryConfig::default() };
    let rm = RetryManager::with_clock("searches", config, Clock::tokio())?;
    for _ in 0..1_000 {
        let answer = rm.run(|| ready(Err::<(), _>(busy()))).await;
        assert!(answer.is_err(), "each comes to its end, retried or not");
    }
    let stats = rm.budget().snapshot();
    let rate = 100 * stats.retries / stats.first_attempts;
    writeln!(
        out,
        "retry rate while all fails: {rate}%, {} of {}",
        stats.retries, stats.first_attempts
    )?;

    let retry_manager = RetryManager::with_clock("api", RetryConfig::default(), Clock::tokio())?;
    for status in [503, 404] {
        let mut calls = 0;
        let answer = retry_manager
            .on_status::<Response, Response>(&[500, 502, 503, 504])
            .run(|| {
                calls += 1;
                ready(Ok(Response(status)))
            })
            .await?;
        writeln!(out, "{}: called {calls} times", answer.0)?;
    }
    Ok(())
}

fn busy() -> io::Error {
    io::ErrorKind::ResourceBusy.into()
}

/// An answer that tells its status.
#[derive(Debug)]
struct Response(u16);

impl Status for Response {
    fn status(&self) -> Option<u16> {
        Some(self.0)
    }
}

impl std::fmt::Display for Response {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl AnyError for Response {}

/// Module 2: three states, and what there is to see.
async fn circuit_breaker(out: &mut impl Write) -> Result<(), Box<dyn AnyError>> {
    let config = CircuitBreakerConfig {
        failures: 5,                       // in a row, and it opens
        successes: 3,                      // half-open, and it closes
        open_for: Duration::from_secs(60), // what is no failure says a classifier
        ..CircuitBreakerConfig::default()
    };
    let cb = CircuitBreaker::with_clock("database", config, Clock::tokio())?;
    for _ in 0..6 {
        match cb.run(|| ready(Err::<(), _>(busy()))).await {
            Ok(()) => {}
            Err(Error::Refused(open)) => writeln!(out, "{open}: fail fast")?,
            Err(failed) => writeln!(out, "{failed}; {}", cb.phase().name())?,
        }
    }
    tokio::time::sleep(Duration::from_secs(60)).await;
    writeln!(out, "a minute later: {}", cb.phase().name())?;
    for _ in 0..3 {
        cb.run(|| ready(Ok::<_, io::Error>(()))).await?;
    }
    let stats = cb.snapshot();
    writeln!(out, "State: {}", stats.phase.name())?;
    writeln!(out, "Failures: {}", stats.failures)?;
    let ago = stats.last_failure.map(|at| cb.clock().now().since(at));
    writeln!(out, "Last Failure: {:?} ago", ago.unwrap_or_default())?;
    Ok(())
}

/// Module 3: how many at once, who waits, who goes first.
async fn bulkhead(out: &mut impl Write) -> Result<(), Box<dyn AnyError>> {
    let config = BulkheadConfig {
        max_concurrent: 100,
        max_queue: 200,
        max_wait: Duration::from_secs(30),
        priority: true,
        ..BulkheadConfig::default()
    };
    let bulkhead = Bulkhead::with_clock("api_calls", config, Clock::tokio())?;
    let call = bulkhead.call().priority(PriorityLevel::High);
    writeln!(out, "served: {}", call.run(|| ready(Ok::<_, io::Error>(7))).await?)?;

    let full = BulkheadConfig { max_concurrent: 100, max_queue: 0, ..BulkheadConfig::default() };
    let bulkhead = Bulkhead::with_clock("uploads", full, Clock::tokio())?;
    let slots = (0..100).map(|_| bulkhead.try_acquire(PriorityLevel::Normal));
    let mut slots: Vec<_> = slots.collect::<Result<_, _>>()?;
    if let Err(Error::Refused(full)) = bulkhead.run(|| ready(Ok::<_, io::Error>(7))).await {
        writeln!(out, "{full}: try later")?;
    }
    slots.truncate(23);
    let stats = bulkhead.snapshot();
    writeln!(out, "Active: {}/{}", stats.running, stats.max_concurrent)?;
    writeln!(out, "Utilization: {}%", 100 * stats.running / stats.max_concurrent)?;
    writeln!(out, "Rejected: {}", stats.refused)?;
    Ok(())
}

/// Module 4: a limit that is learned.
fn adaptive_timeout(out: &mut impl Write) -> Result<(), Box<dyn AnyError>> {
    let config = TimeoutConfig {
        connect: Duration::from_secs(3),
        read: Duration::from_secs(30),
        attempt: Duration::from_secs(60), // and the deadline of the whole call is the policy's
        adaptive: true,
        ..TimeoutConfig::default()
    };
    let timeout = AdaptiveTimeout::with_clock("search", config, Clock::tokio())?;
    (0..100).for_each(|_| timeout.record(Duration::from_micros(120_500)));
    let stats = timeout.snapshot();
    for (name, quantile) in
        [("P50", stats.p50), ("P95", stats.p95), ("P99", stats.p99), ("P99.9", stats.p999)]
    {
        writeln!(out, "{name}: {:.1?}", quantile.unwrap_or_default())?;
    }
    writeln!(out, "Current Timeout: {:.1?}", timeout.current_limit())?;
    Ok(())
}

/// Module 7: three limiters.
fn rate_limiting(out: &mut impl Write) -> Result<(), Box<dyn AnyError>> {
    let bucket = TokenBucket::with_clock("searches", 1_000, Rate::per_second(100), Clock::tokio())?;
    let minute = Duration::from_secs(60);
    let counter = SlidingWindowCounter::with_clock("logins", 1_000, minute, Clock::tokio())?;
    let leaky = LeakyBucket::with_clock("letters", 500, Rate::per_second(50), Clock::tokio())?;
    for (name, limiter) in
        [("token bucket", &*bucket), ("sliding window", &*counter), ("leaky bucket", &*leaky)]
    {
        let allowed = (0..2_000).filter(|_| limiter.try_acquire(1).is_ok()).count();
        if let Err(refusal) = limiter.try_acquire(1) {
            writeln!(out, "{name}: {allowed} at once, then {refusal}")?;
        }
    }
    Ok(())
}

/// Module 8: everything by name.
async fn observability(out: &mut impl Write) -> Result<(), Box<dyn AnyError>> {
    let service = DistributedResilienceService::with_clock(Clock::tokio());
    let cb = service.circuit_breaker("api", &CircuitBreakerConfig::default())?;
    let rm = service.retry("db", &RetryConfig::default())?;
    let bh = service.bulkhead("cache", &BulkheadConfig::default())?;
    for _ in 0..150 {
        cb.run(|| ready(Ok::<_, io::Error>(()))).await?;
        rm.run(|| ready(Ok::<_, io::Error>(()))).await?;
        bh.run(|| ready(Ok::<_, io::Error>(()))).await?;
    }
    let stats = service.snapshot(); // with the feature `serde` it is the guide's JSON, key by key
    let (api, db, cache) =
        (&stats.circuit_breakers["api"], &stats.retry_managers["db"], &stats.bulkheads["cache"]);
    writeln!(out, "api: {}, {} successes", api.state, api.success_count)?;
    writeln!(out, "db: {} requests, within budget: {}", db.total_requests, db.within_budget)?;
    writeln!(out, "cache: {} of {} active", cache.active_calls, cache.max_concurrent)?;
    Ok(())
}
