//! Whether the machine stood still: three sleepers ask to be woken soon, and note by how much too late they were.
//!
//! ```text
//!   machine   a thread of its own         late: the machine, or the process as a whole, stood still
//!   workers   a task on the runtime       late alone: busy, or short of CPU
//!   client    where requests leave from   late alone: the screen or the recording held them up
//! ```
//!
//! A request that is late because nothing ran tells nothing of what stands in front of the backends, and one that is
//! late although all ran tells everything. The thread needs the machine and nothing else, so it tells the two apart.
//! The gateway has no runtime of its own here: one task speaks for all that the workers do.
//!
//! Where processors are short a thread that sleeps goes first, so it may be in time while the workers wait for theirs:
//! workers that are late alone are busy or short of CPU, and nobody here can tell which.

use std::{
    convert::Infallible,
    fmt, io,
    sync::mpsc::{self, RecvTimeoutError},
    thread,
    time::{Duration, Instant},
};

use serde::Serialize;
use tokio::{task::JoinHandle, time::sleep_until};

/// Who was woken late.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Sleeper {
    /// A thread: nothing in this process is in its way.
    Machine,
    /// A task among those of the backends, the requests and the gateway.
    Workers,
    /// The task that sends requests, records and shows.
    Client,
}

/// As a person would say it: `the machine`.
impl fmt::Display for Sleeper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Machine => "the machine",
            Self::Workers => "the runtime",
            Self::Client => "the client",
        })
    }
}

/// A sleeper that was woken late, by [`BOUND`] or more.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Stall {
    /// Who.
    pub(crate) who: Sleeper,
    /// When it should have been woken, from the start of the side.
    pub(crate) at_s: f64,
    /// How much later it was.
    pub(crate) lasted_s: f64,
}

impl Stall {
    /// What a sleeper notes that was `due` and woken `now`.
    fn noted(who: Sleeper, zero: Instant, due: Instant, now: Instant) -> Option<Self> {
        let lasted = now.saturating_duration_since(due);
        let at = due.saturating_duration_since(zero);
        let stall = Self { who, at_s: at.as_secs_f64(), lasted_s: lasted.as_secs_f64() };
        (lasted >= BOUND).then_some(stall)
    }
}

/// The sleepers of one side. Dropped, they end.
#[derive(Debug)]
pub(super) struct Watch {
    zero: Instant,
    noted: mpsc::Receiver<Stall>,
    note: mpsc::SyncSender<Stall>,
    workers: JoinHandle<Infallible>,
    /// Held for the thread, which ends when it is gone.
    _alive: mpsc::SyncSender<Infallible>,
}

impl Watch {
    /// Begins to watch a side that starts at `zero`.
    ///
    /// # Errors
    ///
    /// When there is no thread to be had.
    pub(super) fn start(zero: Instant) -> io::Result<Self> {
        let (note, noted) = mpsc::sync_channel(STALLS_MAX);
        let (alive, gone) = mpsc::sync_channel(0);
        let thread_note = note.clone();
        let nap = move || gone.recv_timeout(NAP) == Err(RecvTimeoutError::Timeout);
        let thread = thread::Builder::new().name("watch".to_owned());
        thread.spawn(move || watch_machine(zero, &thread_note, nap))?;
        let workers = tokio::spawn(watch_task(Sleeper::Workers, zero, note.clone()));
        Ok(Self { zero, noted, note, workers, _alive: alive })
    }

    /// Watches the task that awaits it, and never ends.
    pub(super) async fn client(&self) -> Infallible {
        watch_task(Sleeper::Client, self.zero, self.note.clone()).await
    }

    /// What was noted so far and not yet asked for, as it was noted.
    pub(super) fn stalls(&self) -> Vec<Stall> {
        self.noted.try_iter().collect()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.workers.abort();
    }
}

/// What the stalls of both sides say of a run, in a line. A run that held needs none where there were none.
pub(super) fn told(held: bool, straight: &[Stall], gateway: &[Stall]) -> Option<String> {
    let sides = [("gateway", gateway), ("straight", straight)];
    // What went on at the straight side is no excuse for the gateway.
    let sides = &sides[..if held { 2 } else { 1 }];
    let by = |who| sides.iter().find_map(|(side, stalls)| Spell::of(stalls, who).zip(Some(side)));
    if let Some((spell, side)) = by(Sleeper::Machine) {
        let so = match held {
            true => "yet it held",
            false if spell.lasted_s >= EXCUSE.as_secs_f64() => "repeat the run",
            false => "no excuse",
        };
        return Some(format!("the machine {spell} ({side}): {so}"));
    }
    for who in [Sleeper::Workers, Sleeper::Client] {
        if let Some((spell, side)) = by(who) {
            return Some(format!("{who} {spell} ({side}): busy or short of CPU"));
        }
    }
    let nobody = "neither the machine nor the runtime stood still: the figures are the gateway's";
    (!held).then(|| nobody.to_owned())
}

/// All stalls of one sleeper in one side.
struct Spell {
    lasted_s: f64,
    from_s: f64,
}

impl Spell {
    fn of(stalls: &[Stall], who: Sleeper) -> Option<Self> {
        let mut of_it = stalls.iter().filter(|stall| stall.who == who);
        let Stall { at_s, lasted_s, .. } = of_it.next()?;
        let more: f64 = of_it.map(|stall| stall.lasted_s).sum();
        Some(Self { lasted_s: lasted_s + more, from_s: *at_s })
    }
}

/// `stood still for 1.6 s from 14.2 s`.
impl fmt::Display for Spell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "stood still for {:.1} s from {:.1} s", self.lasted_s, self.from_s)
    }
}

/// Runs until a `nap` is the last one.
fn watch_machine(zero: Instant, note: &mpsc::SyncSender<Stall>, mut nap: impl FnMut() -> bool) {
    loop {
        let due = Instant::now() + NAP;
        if !nap() {
            return;
        }
        let stall = Stall::noted(Sleeper::Machine, zero, due, Instant::now());
        // Nobody listens any more, or there is more to tell than anybody would read.
        let _ = stall.map(|stall| note.try_send(stall));
    }
}

async fn watch_task(who: Sleeper, zero: Instant, note: mpsc::SyncSender<Stall>) -> Infallible {
    loop {
        let due = Instant::now() + NAP;
        sleep_until(due.into()).await;
        let stall = Stall::noted(who, zero, due, Instant::now());
        let _ = stall.map(|stall| note.try_send(stall));
    }
}

/// How long in all a machine must stand still to be blamed: a quarter of the deadline. A gateway bears less.
const EXCUSE: Duration = Duration::from_millis(250);
/// How late a sleeper must be to have stood still: as much as a request may be past its deadline.
pub(super) const BOUND: Duration = super::verdict::OVERRUN;
/// Several minutes of nothing else.
const STALLS_MAX: usize = 4_096;
/// Short beside the bound, and a hundred times a second costs nothing.
const NAP: Duration = Duration::from_millis(10);

#[cfg(test)]
mod tests {
    use tokio::time::sleep;

    use super::*;

    #[test]
    fn late_by_the_bound_is_a_stall_and_less_is_none() {
        let zero = Instant::now();
        let due = zero + Duration::from_secs(2);
        let noted = |late| Stall::noted(Sleeper::Client, zero, due, due + late);
        assert_eq!(noted(Duration::ZERO), None);
        assert_eq!(noted(BOUND - Duration::from_nanos(1)), None);
        assert_eq!(noted(BOUND), Some(stall(Sleeper::Client, 2.0, 0.1)));
        let early = Stall::noted(Sleeper::Client, zero, due, zero);
        assert_eq!(early, None);
    }

    #[test]
    fn a_line_says_who_stood_still_and_what_the_figures_are_worth() {
        use Sleeper::{Client, Machine, Workers};
        let machine =
            [stall(Workers, 3.0, 0.9), stall(Machine, 14.2, 0.9), stall(Machine, 16.0, 0.7)];
        let runtime = [stall(Client, 1.0, 9.0), stall(Workers, 3.04, 0.16)];
        let client = [stall(Client, 7.0, 0.1)];
        let nothing =
            "neither the machine nor the runtime stood still: the figures are the gateway's";
        for (held, straight, gateway, line) in [
            (true, &[][..], &[][..], None),
            (false, &[], &[], Some(nothing)),
            (
                false,
                &runtime,
                &machine,
                Some("the machine stood still for 1.6 s from 14.2 s (gateway): repeat the run"),
            ),
            (
                false,
                &[],
                &[stall(Machine, 1.4, 0.249)],
                Some("the machine stood still for 0.2 s from 1.4 s (gateway): no excuse"),
            ),
            (
                false,
                &[],
                &[stall(Machine, 1.4, 0.25)],
                Some("the machine stood still for 0.2 s from 1.4 s (gateway): repeat the run"),
            ),
            (
                true,
                &machine,
                &runtime,
                Some("the machine stood still for 1.6 s from 14.2 s (straight): yet it held"),
            ),
            (
                false,
                &client,
                &runtime,
                Some(
                    "the runtime stood still for 0.2 s from 3.0 s (gateway): busy or short of CPU",
                ),
            ),
            (false, &machine, &[], Some(nothing)),
            (
                true,
                &client,
                &[],
                Some(
                    "the client stood still for 0.1 s from 7.0 s (straight): busy or short of CPU",
                ),
            ),
        ] {
            assert_eq!(told(held, straight, gateway).as_deref(), line);
            assert!(line.is_none_or(|line| line.len() + 2 <= 80), "{line:?}");
        }
    }

    #[test]
    fn who_is_held_up_notes_it() {
        for who in [Sleeper::Workers, Sleeper::Client] {
            let mut runtime = tokio::runtime::Builder::new_multi_thread();
            let runtime = runtime.worker_threads(1).enable_time().build().unwrap();
            runtime.block_on(async {
                let watch = Watch::start(Instant::now()).unwrap();
                let noted = async {
                    // More than once, for a sleeper that has yet to begin is not late.
                    for _ in 0..100 {
                        sleep(2 * NAP).await;
                        match who {
                            Sleeper::Client => keep_busy(),
                            _ => tokio::spawn(async { keep_busy() }).await.unwrap(),
                        }
                        sleep(2 * NAP).await;
                        let late = |stall: &Stall| stall.who == who && stall.lasted_s > 0.2;
                        if watch.stalls().iter().any(late) {
                            return true;
                        }
                    }
                    false
                };
                tokio::select! {
                    noted = noted => assert!(noted, "{who} was held up"),
                    never = watch.client() => match never {},
                }
            });
        }
    }

    #[test]
    fn a_machine_that_sleeps_too_long_is_noted() {
        let (note, noted) = mpsc::sync_channel(9);
        let mut naps = 0;
        let too_long = || {
            keep_busy();
            naps += 1;
            naps < 3
        };
        watch_machine(Instant::now(), &note, too_long);
        let noted: Vec<_> = noted.try_iter().collect();
        assert_eq!(noted.len(), 2, "one for each nap: {noted:?}");
        assert!(noted.iter().all(|s| s.who == Sleeper::Machine && s.lasted_s > 0.28), "{noted:?}");
        assert!(noted[0].at_s < noted[1].at_s, "{noted:?}");
    }

    #[tokio::test]
    async fn a_watch_that_is_dropped_leaves_nobody_awake() {
        let watch = Watch::start(Instant::now()).unwrap();
        let metrics = tokio::runtime::Handle::current().metrics();
        assert_eq!(metrics.num_alive_tasks(), 1);
        drop(watch);
        let gone = async {
            while metrics.num_alive_tasks() > 0 {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), gone).await.unwrap();
    }

    fn keep_busy() {
        let begun = Instant::now();
        while begun.elapsed() < 3 * BOUND {
            std::hint::spin_loop();
        }
    }

    fn stall(who: Sleeper, at_s: f64, lasted_s: f64) -> Stall {
        Stall { who, at_s, lasted_s }
    }
}
