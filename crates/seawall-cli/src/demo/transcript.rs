//! The end of a run in plain text: what broke when, what the gateway did about it, and what it was worth.
//!
//! Everything is a pure function of the plan and what was recorded, in at most 80 columns and
//! without colour, so that it reads the same in a terminal, in a file and in a page about the project.
//! Shares are rounded down: 99.996 % is not printed as everything.

use std::{
    collections::BTreeMap,
    fmt::{self, Write},
    time::Duration,
};

use super::{
    account::{Account, is_refused},
    measure::{Report, Side, Weathered, success_between},
    plan::Plan,
    run::{Happening, Recording},
    stall,
    traffic::{DEADLINE, Ending, PATIENCE, Sample},
    verdict,
};

/// The whole of it.
pub(super) fn transcript(
    plan: &Plan,
    direct: &Recording,
    protected: &Recording,
    report: &Report,
) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = picture(&mut text, plan, direct, protected)
        .and_then(|()| story(&mut text, plan, direct, protected))
        .and_then(|()| result(&mut text, report))
        .and_then(|()| overload(&mut text, report))
        .and_then(|()| unprotected(&mut text, plan, &protected.samples))
        .and_then(|()| verdict(&mut text, report));
    text
}

/// A share in per cent with this many decimals, rounded down.
pub(super) fn percent(share: f64, decimals: usize) -> String {
    let unit = 10_f64.powi(decimals as i32);
    // The nudge keeps 0.29 from becoming 28.99 %; it is far below any share of countable requests.
    let floored = (share * 100.0 * unit + 1e-6).floor() / unit;
    format!("{floored:.decimals$} %")
}

/// Success over time as two rows of marks, the faults named above them.
fn picture(
    text: &mut String,
    plan: &Plan,
    direct: &Recording,
    protected: &Recording,
) -> fmt::Result {
    let mut names = String::new();
    for episode in &plan.episodes {
        let column =
            (episode.start.as_secs_f64() / plan.length().as_secs_f64() * MARKS as f64) as usize;
        write!(names, "{:1$}", "", column.saturating_sub(names.len()))?;
        names.push_str(episode.fault.name());
    }
    writeln!(text, "success over {} s", plan.seconds)?;
    writeln!(text, "            {names}")?;
    for (side, recording) in [("straight", direct), ("gateway", protected)] {
        let marks: String = (0..MARKS).map(|mark| level(plan, &recording.samples, mark)).collect();
        writeln!(text, "  {side:<10}{marks}")?;
    }
    writeln!(text)
}

fn level(plan: &Plan, samples: &[Sample], mark: u32) -> char {
    let at = |mark| plan.length() * mark / MARKS;
    let Some(share) = success_between(plan, samples, at(mark), at(mark + 1)) else { return ' ' };
    LEVELS[(share * (LEVELS.len() - 1) as f64) as usize]
}

/// What happened, in order: the faults with the success of both sides during each, and between
/// them what the gateway did.
fn story(text: &mut String, plan: &Plan, direct: &Recording, protected: &Recording) -> fmt::Result {
    line(text, "  when", "what happened", "straight", "gateway")?;
    let mut events = protected.events.as_slice();
    for (index, episode) in plan.episodes.iter().enumerate() {
        let (start, end) = (episode.start, episode.end);
        if index == 0 {
            happened(text, &mut events, start)?;
        }
        let success = |recording: &Recording| {
            let share = success_between(plan, &recording.samples, start, end);
            share.map_or_else(|| "-".to_owned(), |share| percent(share, 1))
        };
        let broke = episode.to_string();
        line(text, &moment(start), &broke, &success(direct), &success(protected))?;
        happened(text, &mut events, end)?;
        line(text, &moment(end), &episode.over(), "", "")?;
        let until = plan.episodes.get(index + 1).map_or(Duration::MAX, |next| next.start);
        happened(text, &mut events, until)?;
    }
    writeln!(text)
}

/// The events before `until`, at most [`EVENTS_SHOWN`] of them.
fn happened(text: &mut String, events: &mut &[Happening], until: Duration) -> fmt::Result {
    let (now, later) = events.split_at(events.partition_point(|event| event.at < until));
    *events = later;
    for event in now.iter().take(EVENTS_SHOWN) {
        line(text, &moment(event.at), &format!("  {}", event.what), "", "")?;
    }
    match now.len().saturating_sub(EVENTS_SHOWN) {
        0 => Ok(()),
        more => line(text, "", &format!("  and {more} more"), "", ""),
    }
}

fn line(text: &mut String, when: &str, what: &str, straight: &str, gateway: &str) -> fmt::Result {
    let line = format!("{when:>8}  {what:<48}{straight:>10}{gateway:>10}");
    writeln!(text, "{}", line.trim_end())
}

fn moment(at: Duration) -> String {
    format!("{:.1} s", at.as_secs_f64())
}

/// Both sides in numbers, side by side.
fn result(text: &mut String, Report { direct, protected, .. }: &Report) -> fmt::Result {
    let mut row = |name: &str, value: &dyn Fn(&Side) -> String| {
        writeln!(text, "  {name:<30}{:>12}{:>12}", value(direct), value(protected))
    };
    row("outside the overload", &|side| {
        if std::ptr::eq(side, direct) { "straight" } else { "gateway" }.to_owned()
    })?;
    row("requests", &|side| side.requests.to_string())?;
    row("success", &|side| percent(side.success_ratio, 2))?;
    row("p50", &|side| format!("{:.0} ms", side.p50_ms))?;
    row("p99", &|side| format!("{:.0} ms", side.p99_ms))?;
    row("p99.9", &|side| format!("{:.0} ms", side.p999_ms))?;
    for (index, fault) in direct.faults.iter().enumerate() {
        row(&format!("{}: start to recovery", kind(fault)), &|side| {
            let seconds = side.faults.get(index).and_then(|fault| fault.recovery_s);
            seconds.map_or_else(|| "never".to_owned(), |seconds| format!("{seconds} s"))
        })?;
    }
    row("attempts per request, in all", &|side| format!("{:.2}", side.attempts_per_request))?;
    writeln!(text)
}

/// What became of whom in the overload, side by side.
fn overload(text: &mut String, Report { direct, protected, .. }: &Report) -> fmt::Result {
    let mut row = |name: &str, columns: [&dyn fmt::Display; 3], more: [&dyn fmt::Display; 3]| {
        write!(text, "  {name:<30}")?;
        columns.iter().chain(&more).try_for_each(|column| write!(text, "{column:>8}"))?;
        writeln!(text)
    };
    row("", [&"", &"", &"straight"], [&"", &"", &"gateway"])?;
    let heads: [&dyn fmt::Display; 3] = [&"served", &"refused", &"failed"];
    row("in the overload", heads, heads)?;
    for (straight, gateway) in direct.overload.iter().zip(&protected.overload) {
        row(straight.priority, counts(straight), counts(gateway))?;
    }
    writeln!(text)
}

fn counts(account: &Account) -> [&dyn fmt::Display; 3] {
    [&account.served, &account.refused, &account.failed]
}

fn kind(fault: &Weathered) -> String {
    if fault.backends.is_empty() {
        return fault.kind.to_owned();
    }
    let numbers: Vec<_> = fault.backends.iter().map(u8::to_string).collect();
    format!("{} {{{}}}", fault.kind, numbers.join(","))
}

/// The requests that failed behind the gateway, by the fault they met. What an overload had to refuse is told above.
fn unprotected(text: &mut String, plan: &Plan, samples: &[Sample]) -> fmt::Result {
    let calm = Duration::ZERO..plan.blamed(0).start;
    let mut spans = vec![("before any fault".to_owned(), calm)];
    spans.extend(
        plan.episodes
            .iter()
            .enumerate()
            .map(|(index, episode)| (episode.to_string(), plan.blamed(index))),
    );
    let mut lines = String::new();
    for (name, span) in spans {
        let mut ways = BTreeMap::<String, u32>::new();
        let told = |s: &&Sample| plan.is_overloaded(s.intended) && is_refused(s);
        let due = samples.iter().filter(|s| span.contains(&s.intended));
        for sample in due.filter(|s| !s.ok() && !told(s)) {
            *ways.entry(way(sample)).or_default() += 1;
        }
        if !ways.is_empty() {
            let ways: Vec<_> = ways.iter().map(|(way, count)| format!("{count} {way}")).collect();
            writeln!(lines, "    {name}: {}", ways.join(", "))?;
        }
    }
    match lines.is_empty() {
        true => writeln!(text, "  not protected: nothing"),
        false => write!(text, "  not protected:\n{lines}"),
    }
}

/// How a failed request failed. What was refused as it should be has not failed, so these are told apart from it.
fn way(sample: &Sample) -> String {
    match sample.ending {
        Ending::Right => "served late".to_owned(),
        Ending::WrongBody => "with a wrong body".to_owned(),
        Ending::Refused if sample.latency > DEADLINE => "refused late".to_owned(),
        Ending::Refused => "refused outside the overload".to_owned(),
        Ending::Status(status) => format!("with status {status}"),
        Ending::Broken => "with a broken connection".to_owned(),
        Ending::Silent => format!("without an answer in {} s", PATIENCE.as_secs()),
    }
}

/// Whether it held, by which measure, and whether there was a machine to hold it.
fn verdict(text: &mut String, report: &Report) -> fmt::Result {
    let Report { direct, protected, held, .. } = report;
    verdict::tell(text, &verdict::bars(direct, protected))?;
    let stalls = stall::told(*held, &direct.stalls, &protected.stalls);
    stalls.map_or(Ok(()), |line| writeln!(text, "  {line}"))
}

/// Marks in a row of the picture: half a second each at the default length.
const MARKS: u32 = 56;
/// From no success to all of it; the last is for all of it alone.
const LEVELS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
/// Events shown between two lines of the schedule: a circuit of two backends opening, probing, closing.
const EVENTS_SHOWN: usize = 8;

#[cfg(test)]
mod tests {
    use seawall_core::Priority;

    use super::super::{
        plan::{RATE, SECONDS, priority},
        stall::{Sleeper, Stall},
    };
    use super::*;

    #[test]
    fn shares_are_rounded_down_but_not_torn() {
        for (share, decimals, text) in [
            (1.0, 2, "100.00 %"),
            (0.999_96, 2, "99.99 %"),
            (0.29, 0, "29 %"),
            (0.999, 1, "99.9 %"),
            (0.0, 1, "0.0 %"),
            (2.0 / 3.0, 1, "66.6 %"),
        ] {
            assert_eq!(percent(share, decimals), text);
        }
    }

    #[test]
    fn a_run_reads_like_this() {
        let plan = Plan::new(28, 7, 200);
        let direct = Recording {
            samples: served(&plan, &[1, 2, 3]),
            events: vec![],
            ..Recording::default()
        };
        let protected = Recording {
            samples: served(&plan, &[]),
            events: vec![
                event(3_050, "backend-1 circuit closed -> open (5 failures in a row)"),
                event(6_060, "backend-1 circuit open -> half-open"),
                event(19_900, "backend-1 circuit half-open -> closed (3 successes)"),
            ],
            stalls: vec![],
        };
        let text = told(&plan, &direct, &protected);
        assert_eq!(text, EXAMPLE, "\n{text}");
    }

    #[test]
    fn what_was_not_protected_is_told_by_fault_and_way() {
        let plan = Plan::new(28, 7, 200);
        let mut samples = served(&plan, &[]);
        let mut fail = |from: u64, endings: &[Ending]| {
            let first = samples.iter().position(|s| s.intended >= Duration::from_millis(from));
            for (sample, ending) in samples[first.unwrap()..].iter_mut().zip(endings) {
                sample.ending = *ending;
            }
        };
        fail(0, &[Ending::Broken]);
        fail(12_000, &[Ending::Status(503), Ending::Silent, Ending::Status(503)]);
        fail(16_500, &[Ending::Refused; 2]);
        fail(21_000, &[Ending::Refused; 3]);
        let overload = Duration::from_millis(21_000);
        let late = samples.iter_mut().find(|s| s.intended >= overload).unwrap();
        late.latency = 2 * DEADLINE;
        let recording = Recording { samples, events: vec![], ..Recording::default() };
        let text = told(&plan, &recording, &recording);
        let (_, told) = text.split_once("  not protected:\n").unwrap();
        assert!(
            told.starts_with(
                "    before any fault: 1 with a broken connection\n    \
                 backends 2 and 3 hanging: 2 with status 503, 1 without an answer in 3 s\n    \
                 backends 1 and 3 killed: 2 refused outside the overload\n    \
                 1728 requests/s, 1.8 x what can be served: 1 refused late\n  \
                 did not hold, by what is marked ✗:\n  ✗ gateway success 99.87 %"
            ),
            "{told}"
        );
    }

    #[test]
    fn a_machine_that_stood_still_has_the_last_word() {
        let plan = Plan::new(28, 7, 200);
        let side = |samples: &[Sample], who: Option<Sleeper>| {
            let stall = |who| Stall { who, at_s: 14.2, lasted_s: 1.6 };
            Side { stalls: Vec::from_iter(who.map(stall)), ..Side::new(&plan, samples, 4_672) }
        };
        let recording = Recording::default();
        let straight = served(&plan, &[1, 2, 3]);
        let held = served(&plan, &[]);
        for (samples, who, last) in [
            (&held, None, "straight served 0.00 %, below 90.0 % wanted"),
            (&held, Some(Sleeper::Machine), "for 1.6 s from 14.2 s (gateway): yet it held"),
            (&straight, Some(Sleeper::Machine), "14.2 s (gateway): repeat the run"),
            (&straight, None, "stood still: the figures are the gateway's"),
        ] {
            let report = Report::new(&plan, side(&straight, None), side(samples, who));
            let text = transcript(&plan, &recording, &recording, &report);
            assert!(text.trim_end().ends_with(last), "{text}");
            assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
        }
    }

    #[test]
    fn a_gateway_that_flaps_fills_no_page() {
        let plan = Plan::new(28, 7, 200);
        let events = (0..1_000).map(|ms| event(3_000 + ms, "flap")).collect();
        let recording = Recording { samples: served(&plan, &[]), events, ..Recording::default() };
        let text = told(&plan, &recording, &recording);
        assert_eq!(text.matches("flap").count(), EVENTS_SHOWN);
        assert!(text.contains("and 992 more"), "{text}");
    }

    #[test]
    fn the_readme_shows_what_a_run_prints() {
        let readme = include_str!("../../../../README.md");
        let shown = readme
            .split_once("<!-- transcript -->\n```text\n")
            .and_then(|(_, rest)| rest.split_once("```\n<!-- /transcript -->"))
            .map(|(shown, _)| shown)
            .expect("README.md has a block of text between its transcript marks");
        assert_eq!(
            shape(shown),
            shape(EXAMPLE),
            "README.md shows nothing, or another run than the demo makes: put the end of one there"
        );
    }

    #[test]
    fn a_shape_is_what_stays_from_run_to_run() {
        let plan = Plan::new(SECONDS, 8, RATE);
        let direct =
            Recording { samples: served(&plan, &[3]), events: vec![], ..Recording::default() };
        let mut samples = served(&plan, &[]);
        samples[0].ending = Ending::Broken;
        let events = (0..99).map(|n| event(3_000 + n, "breaker 1 open: 5 failures in a row"));
        let protected = Recording { samples, events: events.collect(), ..Recording::default() };
        let other = told(&plan, &direct, &protected)
            .replace("did not hold, by what is marked ✗", "held")
            .replace("  ✗ ", "    ");
        assert!(other.contains("and 91 more") && other.contains("with a broken connection"));
        assert_eq!(shape(&other), shape(EXAMPLE));

        for (right, wrong) in [
            ("slow     error", "slow     wrong"),
            ("backend 1 slow", "backend 2 slow"),
            ("10.0 s", "10.5 s"),
            ("p99.9 ", "p99.8 "),
            ("hang {2,3}: start to", "hang {1,2}: start to"),
            ("in the overload", "in an overload"),
            ("  background  ", "  foreground  "),
            ("critical served", "all served"),
            ("1728 requests/s", "1729 requests/s"),
            ("  held:", "  did not hold:"),
            ("at most", "at least"),
        ] {
            assert!(EXAMPLE.contains(right));
            assert_ne!(shape(&EXAMPLE.replace(right, wrong)), shape(EXAMPLE), "{wrong}");
        }
    }

    /// A transcript without what differs from run to run: marks, measured numbers, and the lines that tell of
    /// events, of failures, whose number varies, and of who stood still, after all else.
    fn shape(transcript: &str) -> String {
        let mut shape = String::new();
        let mut failures = false;
        for line in transcript.lines() {
            let (event, row) = match line.as_bytes() {
                [b' ', b' ', b'a'..=b'z', ..] => (false, true),
                [_, _, _, _, _, _, _, _, b' ', b' ', b' ', b' ', b'a'..=b'z', ..] => (true, false),
                _ => (false, false),
            };
            failures &= !row;
            if line.contains(" stood still") {
                continue;
            }
            if event || failures {
                continue;
            }
            failures = line.starts_with("  not protected:");
            // A row is its name, up to the first of two columns.
            let kept = if row { line.get(..32).unwrap_or(line) } else { line };
            let kept = kept.trim_end_matches(|c| c == ' ' || LEVELS.contains(&c));
            shape += &measured(kept.strip_suffix(" nothing").unwrap_or(kept));
            shape.push('\n');
        }
        shape
    }

    /// With `#` for shares and milliseconds, and one space wherever there are any.
    fn measured(line: &str) -> String {
        let words: Vec<_> = line.split_whitespace().collect();
        let measures = |n: usize| {
            let is_unit = |w: &&str| w.starts_with('%') || w.starts_with("ms") || *w == "s,";
            words.get(n + 1).is_some_and(is_unit) && words[n].parse::<f64>().is_ok()
        };
        let words = words.iter().enumerate().map(|(n, word)| if measures(n) { "#" } else { word });
        words.collect::<Vec<_>>().join(" ")
    }

    fn told(plan: &Plan, direct: &Recording, protected: &Recording) -> String {
        let requests = plan.arrivals.len() as u64;
        let side = |recording: &Recording| Side::new(plan, &recording.samples, requests);
        transcript(plan, direct, protected, &Report::new(plan, side(direct), side(protected)))
    }

    fn event(at_millis: u64, what: &str) -> Happening {
        Happening { at: Duration::from_millis(at_millis), what: what.to_owned() }
    }

    /// Every request served, but each third of them sent to these backends while they were broken; in the overload
    /// the three most urgent classes, and the others refused, where any backend is protected.
    fn served(plan: &Plan, unprotected: &[u8]) -> Vec<Sample> {
        let sample = |(item, &intended): (usize, &Duration)| {
            let backend = (item % 3 + 1) as u8;
            let priority = priority(plan.seed, item as u64);
            let is_urgent = priority <= Priority::Normal;
            let broken = plan.during(intended).is_some_and(|e| e.backends.contains(&backend));
            let failed = (broken || plan.is_overloaded(intended)) && unprotected.contains(&backend);
            let (latency, ending) = match failed {
                true => (Duration::from_secs(1), Ending::Silent),
                false if plan.is_overloaded(intended) && !is_urgent => {
                    (Duration::from_millis(5), Ending::Refused)
                }
                false => (Duration::from_millis(12), Ending::Right),
            };
            Sample { priority, intended, latency, ending }
        };
        plan.arrivals.iter().enumerate().map(sample).collect()
    }

    const EXAMPLE: &str = "\
success over 28 s
                  slow     error    hang     kill     overload
  straight  ██████▅▅▅▅▅████▃▃▃▃▃████▃▃▃▃▃████▃▃▃▃▃████▁▁▁▁▁▁▁▁▁█████
  gateway   ██████████████████████████████████████████▃▄▄▄▃▄▄▄▄█████

    when  what happened                                     straight   gateway
   3.0 s  backend 1 slow by 2 s                               66.7 %   100.0 %
   3.0 s    backend-1 circuit closed -> open (5 failures in a row)
   5.5 s  backend 1 well again
   6.1 s    backend-1 circuit open -> half-open
   7.5 s  backends 1 and 2 answering 500                      33.3 %   100.0 %
  10.0 s  backends 1 and 2 well again
  12.0 s  backends 2 and 3 hanging                            33.3 %   100.0 %
  14.5 s  backends 2 and 3 well again
  16.5 s  backends 1 and 3 killed                             33.4 %   100.0 %
  19.0 s  backends 1 and 3 well again
  19.9 s    backend-1 circuit half-open -> closed (3 successes)
  21.0 s  1728 requests/s, 1.8 x what can be served            0.0 %    44.2 %
  25.0 s  no more than before

  outside the overload              straight     gateway
  requests                              4672        4672
  success                            74.46 %    100.00 %
  p50                                  12 ms       12 ms
  p99                                1000 ms       12 ms
  p99.9                              1000 ms       12 ms
  slow {1}: start to recovery            3 s         0 s
  error {1,2}: start to recovery         3 s         0 s
  hang {2,3}: start to recovery          3 s         0 s
  kill {1,3}: start to recovery          3 s         0 s
  overload: start to recovery            5 s         5 s
  attempts per request, in all          1.00        1.00

                                                straight                 gateway
  in the overload                 served refused  failed  served refused  failed
  critical                             0       0     347     347       0       0
  high                                 0       0    1039    1039       0       0
  normal                               0       0    1737    1737       0       0
  low                                  0       0    2084       0    2084       0
  background                           0       0    1833       0    1833       0

  not protected: nothing
  held:
    gateway success 100.00 %, at least 99.9 % wanted
    straight success 74.46 %, below 90.0 % wanted
    past the deadline of 1 s at p99.9: 0 ms, at most 100 ms wanted
  and in the overload:
    served or refused in time 100.00 %, at least 99.9 % wanted
    critical served 100.00 %, at least 99.0 % wanted
    a class served more than one more urgent by 0.00 %, at most 1.0 % wanted
    from its end to recovery: 1 s, at most 1 s wanted
    straight served 0.00 %, below 90.0 % wanted
";
}
