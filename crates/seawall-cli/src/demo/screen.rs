//! What a run shows while it lasts: a plain line each second, or on a terminal a block repainted in place.
//!
//! The block is erased when its side ends, so that both kinds of output end in the same transcript.

use std::{
    fmt,
    io::{self, Write},
    time::Duration,
};

use super::{
    plan::Plan,
    run::Recording,
    traffic::{DEADLINE, Sample},
    transcript::percent,
};

/// Where a run is told.
pub(crate) struct Screen<'a> {
    out: &'a mut dyn Write,
    terminal: bool,
    /// Lines of the block that is to be painted over.
    painted: usize,
}

impl<'a> Screen<'a> {
    /// Tells on `out`; repaints in place if that is a `terminal`.
    pub(crate) fn new(out: &'a mut dyn Write, terminal: bool) -> Self {
        Self { out, terminal, painted: 0 }
    }

    /// How often progress is worth telling.
    pub(super) const fn pace(&self) -> Duration {
        if self.terminal { REPAINT } else { SECOND }
    }

    /// Tells lines that stay.
    pub(super) fn say(&mut self, text: &str) -> io::Result<()> {
        self.erase()?;
        writeln!(self.out, "{}", text.trim_end())?;
        self.out.flush()
    }

    /// Tells how far a side has come.
    pub(super) fn progress(
        &mut self,
        side: &str,
        plan: &Plan,
        elapsed: Duration,
        recording: &Recording,
    ) -> io::Result<()> {
        let now = Now { side, plan, elapsed: elapsed.min(plan.length()), recording };
        if !self.terminal {
            return self.say(&now.line());
        }
        let block = now.block();
        self.erase()?;
        for line in &block {
            writeln!(self.out, "{line}")?;
        }
        self.painted = block.len();
        self.out.flush()
    }

    /// Takes the block away, if there is one.
    pub(super) fn erase(&mut self) -> io::Result<()> {
        if self.painted > 0 {
            // Up to its first line, then clear to the end of the screen.
            write!(self.out, "\x1b[{}A\x1b[J", self.painted)?;
        }
        self.painted = 0;
        Ok(())
    }
}

impl fmt::Debug for Screen<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Screen").field("terminal", &self.terminal).finish_non_exhaustive()
    }
}

/// A moment of a side.
struct Now<'a> {
    side: &'a str,
    plan: &'a Plan,
    elapsed: Duration,
    recording: &'a Recording,
}

impl Now<'_> {
    fn line(&self) -> String {
        let (at, of) = (self.elapsed.as_secs(), self.plan.seconds);
        let success = success(self.lately());
        // Of the second that the success is of.
        let middle = self.elapsed.saturating_sub(SECOND / 2);
        format!("{:<9}{at:>3} of {of} s  {success:>8}  {}", self.side, self.weather(middle))
    }

    fn block(&self) -> Vec<String> {
        let Recording { samples, events, .. } = self.recording;
        let due = self.plan.arrivals.partition_point(|at| *at <= self.elapsed);
        let mut lines = vec![
            format!(
                "{:<9}{:>5.1} of {} s",
                self.side,
                self.elapsed.as_secs_f64(),
                self.plan.seconds
            ),
            format!("  now        {}", self.weather(self.elapsed)),
            format!("  success    {:>8} in the last second", success(self.lately())),
            format!("             {:>8} so far", success(samples.iter())),
            format!("  requests   {due:>8} sent",),
            format!("             {:>8} waiting", due.saturating_sub(samples.len())),
        ];
        let first = events.len().saturating_sub(EVENTS);
        lines.extend(events[first..].iter().map(|e| format!("  {}", e.what)));
        // A line that wraps would be two on the screen and one in our count.
        lines.iter().map(|line| line.chars().take(COLUMNS).collect()).collect()
    }

    /// What is wrong at a moment.
    fn weather(&self, at: Duration) -> String {
        self.plan.during(at).map_or_else(|| "all well".to_owned(), ToString::to_string)
    }

    /// What ended within the last second.
    fn lately(&self) -> impl Iterator<Item = &Sample> {
        let since = self.elapsed.saturating_sub(SECOND);
        self.recording.samples.iter().filter(move |s| s.ended() >= since)
    }
}

fn success<'a>(samples: impl Iterator<Item = &'a Sample>) -> String {
    let (mut ended, mut served) = (0_u32, 0_u32);
    for sample in samples {
        ended += 1;
        served += u32::from(sample.ok());
    }
    if ended == 0 { "-".to_owned() } else { percent(f64::from(served) / f64::from(ended), 1) }
}

/// The first lines of a run.
pub(super) fn opening(plan: &Plan) -> String {
    let Plan { seed, seconds, rate, slots, .. } = plan;
    format!(
        "seawall demo, seed {seed}\n\
         three backends of 5-20 ms, {slots} requests at once each: they can serve {} a second\n\
         {rate} requests/s of five priorities, {seconds} s a side, deadline {} s\n\
         straight: the backends in turn, no retry, the same faults and the same time limit\n",
        plan.capacity(),
        DEADLINE.as_secs_f64()
    )
}

/// Often enough to look alive, too seldom to cost anything.
const REPAINT: Duration = Duration::from_millis(200);
const SECOND: Duration = Duration::from_secs(1);
/// Events kept in sight.
const EVENTS: usize = 4;
/// The narrowest terminal that is common.
const COLUMNS: usize = 79;

#[cfg(test)]
mod tests {
    use seawall_core::Priority;

    use super::super::{run::Happening, traffic::Ending};
    use super::*;

    #[test]
    fn without_a_terminal_each_report_is_one_plain_line() {
        let text = shown(false, &[3_500, 29_000]);
        assert_eq!(
            text,
            "straight   3 of 28 s    75.0 %  backend 1 slow by 2 s\n\
             straight  28 of 28 s         -  all well\n"
        );
    }

    #[test]
    fn on_a_terminal_a_block_is_painted_over_and_taken_away() {
        let text = shown(true, &[3_500, 4_000]);
        let blocks: Vec<_> = text.split("\x1b[7A\x1b[J").collect();
        assert_eq!(blocks.len(), 3, "{text:?}");
        for block in &blocks[..2] {
            assert_eq!(block.lines().count(), 7);
            assert!(block.lines().all(|line| line.chars().count() <= COLUMNS));
        }
        assert!(blocks[0].contains("75.0 % so far"));
        assert_eq!(blocks[2], "");
    }

    /// What is shown of four requests, one of them failed, at these moments.
    fn shown(terminal: bool, at_millis: &[u64]) -> String {
        let plan = Plan::new(28, 7, 200);
        let sample = |ending| Sample {
            priority: Priority::Normal,
            intended: Duration::from_secs(3),
            latency: Duration::from_millis(10),
            ending,
        };
        let recording = Recording {
            samples: [Ending::Right, Ending::Broken, Ending::Right, Ending::Right]
                .map(sample)
                .to_vec(),
            events: vec![Happening { at: Duration::ZERO, what: "very ".repeat(100) }],
            stalls: vec![],
        };
        let mut out = Vec::new();
        let mut screen = Screen::new(&mut out, terminal);
        for at in at_millis {
            screen.progress("straight", &plan, Duration::from_millis(*at), &recording).unwrap();
        }
        screen.erase().unwrap();
        String::from_utf8(out).unwrap()
    }
}
