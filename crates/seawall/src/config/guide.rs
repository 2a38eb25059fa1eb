//! Other names of settings: the guide's, for files that were written for it, and those of code.

/// The field of this name of the guide's or of code's, its unit being part of the value: `"5s"`, `"10%"`.
pub(super) fn counterpart(guide: &str) -> Option<&'static str> {
    COUNTERPARTS.iter().find(|(theirs, _)| *theirs == guide).map(|(_, ours)| *ours)
}

const COUNTERPARTS: [(&str, &str); 22] = [
    ("window", "circuit_breaker.over"),
    ("max_retries", "retry.max_retries"),
    ("base_delay_ms", "retry.base_delay"),
    ("max_delay_ms", "retry.max_delay"),
    ("jitter_percent", "retry.jitter"),
    ("retry_budget_percent", "retry.budget"),
    ("retry_on_status", "retry.on"),
    ("failure_threshold", "circuit_breaker.failures"),
    ("success_threshold", "circuit_breaker.successes"),
    ("timeout_seconds", "circuit_breaker.open_for"),
    ("half_open_max_calls", "circuit_breaker.half_open_calls"),
    ("max_concurrent_calls", "bulkhead.max_concurrent"),
    ("max_queue_size", "bulkhead.max_queue"),
    ("timeout_ms", "bulkhead.max_wait"),
    ("priority_enabled", "bulkhead.priority"),
    ("refill_rate", "rate_limit.rate"),
    ("leak_rate", "rate_limit.rate"),
    ("window_seconds", "rate_limit.window"),
    ("connection_timeout_ms", "timeout.connect"),
    ("read_timeout_ms", "timeout.read"),
    ("request_timeout_ms", "timeout.attempt"),
    ("adaptive_enabled", "timeout.adaptive"),
];
