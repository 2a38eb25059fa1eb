//! Rate limiters: never more than the burst and the rate allow, whoever waits, gives up or is given back.

use std::time::Duration;

use seawall_core::{
    Admission, Algorithm, Instant, Priority, Rate, RateLimitConfig, RateLimiter, Ticket,
};

use crate::tape::Tape;

/// Runs the story in `data`.
///
/// # Panics
/// If a promise is broken.
pub fn rate_limit(data: &[u8]) {
    let mut tape = Tape::new(data);
    let Some((config, law)) = settings(&mut tape) else { return };
    let Ok(mut limiter) = RateLimiter::new(&config) else { return };
    let mut story = Story { law, newest: Instant::ORIGIN, passed: Vec::new(), waiting: Vec::new() };
    let mut now = Instant::ORIGIN;
    while let Some(next) = tape.moment(now) {
        now = next;
        if story.step(&mut tape, &mut limiter, now).is_none() {
            return;
        }
        while limiter.settle(now).is_some() {
            story.newest = story.newest.max(now);
        }
        let seen = limiter.snapshot(now);
        assert!(seen.available <= seen.limit, "{} of {}", seen.available, seen.limit);
        assert_eq!(seen.waiting, story.waiting.len() as u32, "a waiter nobody knows");
    }
}

/// What a limiter may let through in any stretch of time.
enum Law {
    /// At most `burst` + d x `tokens` / `per`.
    Bucket { burst: u128, tokens: u128, per: u128 },
    /// At most `limit` in less than `window`.
    Window { limit: u64, window: u64 },
    /// One, then d x `tokens` / `per`. Whoever waited may look long after its turn, so this holds from the
    /// beginning to now, and not between any two. The one that may be ahead of its share is the last in line, not the
    /// last to look; so it may be any.
    Line { tokens: u128, per: u128 },
}

struct Story {
    law: Law,
    newest: Instant,
    /// When, and how much.
    passed: Vec<(u64, u64)>,
    waiting: Vec<(Ticket, u64)>,
}

impl Story {
    fn step(&mut self, tape: &mut Tape<'_>, limiter: &mut RateLimiter, now: Instant) -> Option<()> {
        match tape.below(8)? {
            0..=4 => {
                let cost = u64::from(tape.below(4)?);
                let class = Priority::ALL[usize::from(tape.below(5)?)];
                let give_up_at = now + tape.duration()?;
                // A clock that steps back stands: what was seen once stays the time.
                self.newest = self.newest.max(now);
                let answer = limiter.admit(cost, class, give_up_at, now);
                self.take(answer, cost);
            }
            5 | 6 if !self.waiting.is_empty() => {
                let at = usize::from(tape.byte()?) % self.waiting.len();
                let (ticket, cost) = self.waiting.swap_remove(at);
                self.newest = self.newest.max(now);
                let answer = limiter.claim(ticket, now);
                self.take(answer, cost);
            }
            7 if !self.waiting.is_empty() => {
                let at = usize::from(tape.byte()?) % self.waiting.len();
                limiter.abandon(self.waiting.swap_remove(at).0);
            }
            _ => {}
        }
        Some(())
    }

    fn take(&mut self, answer: Admission, cost: u64) {
        match answer {
            Admission::Go(_) => self.passes(cost),
            Admission::Wait(ticket) => self.waiting.push((ticket, cost)),
            _ => {}
        }
    }

    fn passes(&mut self, cost: u64) {
        let now = self.newest.as_nanos();
        self.passed.push((now, cost));
        if let Law::Line { tokens, per } = self.law {
            let costs = self.passed.iter().map(|(_, cost)| *cost);
            let all_but_one = costs.clone().sum::<u64>() - costs.max().unwrap_or(0);
            assert!(u128::from(all_but_one) * per <= u128::from(now) * tokens, "too soon");
        }
        let mut sum = 0_u64;
        for (then, cost) in self.passed.iter().rev() {
            sum += cost;
            match self.law {
                Law::Bucket { burst, tokens, per } => {
                    let earned = u128::from(now - then) * tokens;
                    assert!(u128::from(sum) * per <= burst * per + earned, "{sum} too soon");
                }
                Law::Window { limit, window } => {
                    assert!(sum <= limit || now - then >= window, "{sum} in one window");
                }
                Law::Line { .. } => return,
            }
        }
    }
}

fn settings(tape: &mut Tape<'_>) -> Option<(RateLimitConfig, Law)> {
    let most = u64::from(tape.below(16)?);
    let tokens = u64::from(tape.byte()?);
    let per = tape.duration()?.max(Duration::from_nanos(1));
    let algorithm = Algorithm::ALL[usize::from(tape.below(4)?)];
    let law = match algorithm {
        Algorithm::SlidingWindow => Law::Window { limit: most, window: per.as_nanos() as u64 },
        Algorithm::Shaper => Law::Line { tokens: tokens.into(), per: per.as_nanos() },
        _ => Law::Bucket { burst: most.into(), tokens: tokens.into(), per: per.as_nanos() },
    };
    let config = match algorithm {
        Algorithm::SlidingWindow => RateLimitConfig {
            algorithm,
            limit: Some(most),
            window: Some(per),
            buckets: Some(u32::from(tape.below(8)?)).filter(|buckets| *buckets > 0),
            ..RateLimitConfig::default()
        },
        _ => RateLimitConfig {
            algorithm,
            capacity: Some(most),
            rate: Rate::new(tokens, per),
            ..RateLimitConfig::default()
        },
    };
    Some((config, law))
}
