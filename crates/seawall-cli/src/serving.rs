//! Serving from the command line: what is said on start, at every transition, and at the end.

use std::{
    process::ExitCode,
    time::{Duration, Instant},
};

use seawall::{Events, Heard, Registry};
use seawall_gateway::{Config, Gateway, StartError};
use tokio::{
    runtime::{Builder, Runtime},
    signal::unix::{Signal, SignalKind, signal},
};

use crate::{NO, WRONG, fail, say};

/// Serves `config` until a signal, then drains. A second signal ends at once.
pub(crate) fn serve(config: &Config) -> ExitCode {
    let runtime = match runtime() {
        Ok(runtime) => runtime,
        Err(error) => return fail(NO, format_args!("cannot start: {error}")),
    };
    let code = runtime.block_on(async {
        // Before the first line: whoever has read it may send one.
        let signals = match Signals::new() {
            Ok(signals) => signals,
            Err(error) => return fail(NO, format_args!("cannot listen for signals: {error}")),
        };
        match start(config).await {
            Ok(gateway) => run(gateway, signals).await,
            Err(StartError::Invalid(invalid)) => fail(WRONG, invalid),
            Err(error) => fail(NO, error),
        }
    });
    // A name being looked up is waited for by nobody any more.
    runtime.shutdown_background();
    code
}

/// A runtime with a worker per core.
pub(crate) fn runtime() -> std::io::Result<Runtime> {
    Builder::new_multi_thread().enable_all().build()
}

async fn start(config: &Config) -> Result<Gateway, StartError> {
    let gateway = Gateway::bind(config, None).await?;
    say(format_args!("seawall {}", env!("CARGO_PKG_VERSION")));
    if let Ok(address) = gateway.local_addr() {
        say(format_args!("listening on http://{address}"));
    }
    if let Ok(Some(address)) = gateway.admin_addr() {
        say(format_args!("admin on http://{address}"));
    }
    for upstream in &config.upstreams {
        let endpoints: Vec<_> =
            upstream.endpoints.iter().map(|endpoint| endpoint.authority.as_str()).collect();
        say(format_args!("upstream {}: {}", upstream.name, endpoints.join(", ")));
    }
    Ok(gateway)
}

async fn run(gateway: Gateway, mut signals: Signals) -> ExitCode {
    let registry = gateway.registry().clone();
    let begun = Instant::now();
    let told = tokio::spawn(tell(registry.events(), begun));
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let mut serving = std::pin::pin!(gateway.run(async {
        let _ = stopped.await;
    }));
    let mut stop = Some(stop);
    loop {
        tokio::select! {
            () = &mut serving => break,
            () = signals.next() => match stop.take() {
                Some(stop) => {
                    say(format_args!("draining; once more to end at once"));
                    let _ = stop.send(());
                }
                None => {
                    told.abort();
                    return fail(NO, "ended before all requests had");
                }
            },
        }
    }
    told.abort();
    summary(&registry, begun.elapsed());
    ExitCode::SUCCESS
}

/// One line per transition.
async fn tell(mut events: Events, begun: Instant) {
    while let Some(heard) = events.next().await {
        let at = begun.elapsed().as_secs_f64();
        match heard {
            Heard::Change(change) => say(format_args!("{at:.1}s {change}")),
            Heard::Missed(count) => {
                say(format_args!("{at:.1}s {count} transitions came too fast to be told"))
            }
            _ => {}
        }
    }
}

fn summary(registry: &Registry, uptime: Duration) {
    say(format_args!("served for {:.1} s", uptime.as_secs_f64()));
    for (name, counts) in registry.snapshot().policies {
        let (calls, attempts) = (counts.calls, counts.attempts.started);
        say(format_args!(
            "route {name}: requests {}, succeeded {}, failed {}, refused {}, ignored {}; attempts {attempts}",
            calls.started, calls.succeeded, calls.failed, calls.refused, calls.ignored
        ));
    }
}

/// Asked to end: by a terminal or by whoever runs the process.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
