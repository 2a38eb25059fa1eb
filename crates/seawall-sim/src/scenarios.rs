//! Stories worth telling again: each is a function, its parameters are the question.
//!
//! ```text
//!   retry_storm        does a service come back after its dependency did?
//!   slow_dependency    does slowness spread?
//!   flapping           does a breaker follow a dependency that comes and goes?
//!   thundering_herd    does everybody come back at once?
//!   half_open          how many find out that it is back?
//!   one_of_three       is a bad endpoint noticed, and left?
//!   priority_overload  who is served when not all can be?
//!   moved_clock        what if the clock does not show the time?
//! ```
//!
//! Services are small, ten workers and some dozens of calls a second, because nothing here depends on scale and a
//! second of a small service is simulated in less than a millisecond.

use core::time::Duration;

use seawall_core::{
    BulkheadConfig, CircuitBreakerConfig, Jitter, Priority, Ratio, RetryConfig, TimeoutConfig,
};

use crate::{Client, Clock, ClockStep, Dependency, Fault, Latency, Scenario, Script, Traffic};

/// How the callers of [`retry_storm`] protect what they call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Protection {
    /// Five retries, no budget, no breaker.
    Nothing,
    /// The same with a budget of 10 %.
    Budget,
    /// The defaults of every pattern, but the breaker open for 5 s instead of 60 s, as in the gateway: the
    /// story is over after 60 s.
    Defaults,
}

/// A dependency at 70 % of its capacity fails every job from second 10 to second 20, and is well again until
/// second 60.
///
/// It works on 10 jobs at once for 100 ms on average, so it manages 100 a second, and 500 may wait: five seconds of
/// work. Five instances send 70 calls a second; an attempt is given up after a second, a call after ten.
#[must_use]
pub fn retry_storm(protection: Protection) -> Scenario {
    let second_limit = TimeoutConfig { attempt: SECOND, ..TimeoutConfig::default() };
    let bare = Client {
        instances: 5,
        deadline: Some(10 * SECOND),
        retry: Some(RetryConfig { max_retries: 5, ..RetryConfig::default() }),
        budget: false,
        circuit_breaker: None,
        bulkhead: None,
        timeout: Some(TimeoutConfig { adaptive: false, ..second_limit.clone() }),
    };
    let client = match protection {
        Protection::Nothing => bare,
        Protection::Budget => Client { budget: true, ..bare },
        Protection::Defaults => Client {
            instances: 5,
            deadline: Some(10 * SECOND),
            circuit_breaker: opens_for(5 * SECOND),
            timeout: Some(second_limit),
            ..Client::default()
        },
    };
    Scenario {
        name: format!("scenarios::retry_storm(Protection::{protection:?})"),
        lasts: 60 * SECOND,
        client,
        dependencies: vec![Dependency {
            queue: 500,
            script: Script::during(10 * SECOND, 20 * SECOND, Fault::Errors(Ratio::ONE)),
            ..Dependency::default()
        }],
        traffic: vec![Traffic { rate: 70, ..Traffic::default() }],
        clock: Clock::default(),
    }
}

/// A dependency at half of its capacity, with a long tail, takes twenty times longer from second 10 to second 20.
#[must_use]
pub fn slow_dependency() -> Scenario {
    let mean = 40 * MS;
    Scenario {
        name: "scenarios::slow_dependency()".into(),
        lasts: 40 * SECOND,
        client: careful(5),
        dependencies: vec![Dependency {
            latency: Latency::LongTail { mean, share: Ratio::percent(1), times: 10 },
            script: Script::during(10 * SECOND, 20 * SECOND, Fault::Slow(20)),
            ..Dependency::default()
        }],
        traffic: vec![Traffic { rate: 100, ..Traffic::default() }],
        clock: Clock::default(),
    }
}

/// A dependency refuses for half a second, is well for half a second, and so on from second 5 to second 25.
#[must_use]
pub fn flapping() -> Scenario {
    let script = Script::default().flap(5 * SECOND, 25 * SECOND, 500 * MS, Fault::Refuse);
    Scenario {
        name: "scenarios::flapping()".into(),
        lasts: 40 * SECOND,
        client: Client { circuit_breaker: opens_for(SECOND), ..careful(3) },
        dependencies: vec![quick(script)],
        traffic: vec![Traffic { rate: 100, ..Traffic::default() }],
        clock: Clock::default(),
    }
}

/// A quarter of a second's work arrives within 20 ms, as when a dependency comes back and everybody has waited
/// for it; what finds no place comes again, scattered by `jitter` percent. Without a budget, so that scattering is
/// all that helps.
#[must_use]
pub fn thundering_herd(jitter: u32) -> Scenario {
    let retry = RetryConfig {
        jitter: Jitter::Fraction(Ratio::percent(jitter.min(100))),
        max_delay: SECOND,
        ..RetryConfig::default()
    };
    let herd = vec![(10 * SECOND, 20_000), (10 * SECOND + 20 * MS, 0)];
    Scenario {
        name: format!("scenarios::thundering_herd({jitter})"),
        lasts: 15 * SECOND,
        client: Client {
            instances: 20,
            retry: Some(retry),
            budget: false,
            circuit_breaker: None,
            bulkhead: None,
            ..careful(20)
        },
        dependencies: vec![Dependency { queue: 20, ..quick(Script::default()) }],
        traffic: vec![Traffic { rate: 0, phases: herd, ..Traffic::default() }],
        clock: Clock::default(),
    }
}

/// A dependency of twenty instances hangs from second 5 to second 15, with a breaker in each of them or without.
#[must_use]
pub fn half_open(breaker: bool) -> Scenario {
    let careful = careful(20);
    let circuit_breaker = careful.circuit_breaker.clone().filter(|_| breaker);
    let script = Script::during(5 * SECOND, 15 * SECOND, Fault::Hang);
    Scenario {
        name: format!("scenarios::half_open({breaker})"),
        lasts: 30 * SECOND,
        client: Client { circuit_breaker, ..careful },
        dependencies: vec![Dependency { queue: 2_000, ..quick(script) }],
        traffic: vec![Traffic { rate: 200, ..Traffic::default() }],
        clock: Clock::default(),
    }
}

/// Of three endpoints the second meets a fault from second 10 to second 20; three instances pick.
#[must_use]
pub fn one_of_three(fault: Fault) -> Scenario {
    let well = quick(Script::default());
    let ill = quick(Script::during(10 * SECOND, 20 * SECOND, fault));
    Scenario {
        name: format!("scenarios::one_of_three(Fault::{fault:?})"),
        lasts: 35 * SECOND,
        client: careful(3),
        dependencies: vec![well.clone(), ill, well],
        traffic: vec![Traffic { rate: 200, ..Traffic::default() }],
        clock: Clock::default(),
    }
}

/// For a minute 36 calls a second of each of the five classes come to one instance, to a dependency that manages 100 a
/// second: ten at once, 100 ms each. Ten may run, a thousand may wait, two seconds at most.
#[must_use]
pub fn priority_overload() -> Scenario {
    let classes =
        Priority::ALL.map(|priority| Traffic { rate: 36, priority, ..Traffic::default() });
    let bulkhead =
        BulkheadConfig { max_concurrent: 10, max_wait: 5 * SECOND, ..BulkheadConfig::default() };
    Scenario {
        name: "scenarios::priority_overload()".into(),
        lasts: 60 * SECOND,
        client: Client {
            instances: 1,
            retry: None,
            circuit_breaker: None,
            deadline: Some(30 * SECOND),
            bulkhead: Some(bulkhead),
            ..Client::default()
        },
        dependencies: vec![Dependency {
            latency: Latency::Constant(100 * MS),
            ..Dependency::default()
        }],
        traffic: classes.to_vec(),
        clock: Clock::default(),
    }
}

/// A dependency fails a tenth of its jobs from second 5 to second 20, so that calls pause before retries, and then
/// the clock moves: at second 10 it does `step`, and if it stands it runs again at second 15.
#[must_use]
pub fn moved_clock(step: ClockStep) -> Scenario {
    let mut steps = vec![(10 * SECOND, step)];
    if step == ClockStep::Stand {
        steps.push((15 * SECOND, ClockStep::Run));
    }
    let errors = Fault::Errors(Ratio::percent(10));
    Scenario {
        name: format!("scenarios::moved_clock(ClockStep::{step:?})"),
        lasts: 30 * SECOND,
        client: careful(3),
        dependencies: vec![quick(Script::during(5 * SECOND, 20 * SECOND, errors))],
        traffic: vec![Traffic { patience: Some(5 * SECOND), ..Traffic::default() }],
        clock: Clock { steps },
    }
}

/// Every pattern on, limits that suit a caller who waits two seconds.
fn careful(instances: u32) -> Client {
    let retry = RetryConfig { base_delay: 25 * MS, ..RetryConfig::default() };
    Client {
        instances,
        deadline: Some(2 * SECOND),
        retry: Some(retry),
        budget: true,
        circuit_breaker: opens_for(2 * SECOND),
        bulkhead: Some(BulkheadConfig { max_concurrent: 40, ..BulkheadConfig::default() }),
        timeout: Some(TimeoutConfig { attempt: SECOND, ..TimeoutConfig::default() }),
    }
}

/// Ten workers, 20 ms each: 500 jobs a second.
fn quick(script: Script) -> Dependency {
    Dependency { latency: Latency::Exponential(20 * MS), script, ..Dependency::default() }
}

fn opens_for(open_for: Duration) -> Option<CircuitBreakerConfig> {
    Some(CircuitBreakerConfig { open_for, ..CircuitBreakerConfig::default() })
}

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
