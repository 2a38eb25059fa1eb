//! Code that is not ours, a schedule or a waker, runs where nothing is locked: it may come back to what it is run by.

use std::{
    sync::{Arc, mpsc},
    thread,
};

use seawall::{
    Policy, PolicyConfig, Registry, RegistryError, RetryConfig, Strategy, core::CustomBackoff,
};

use crate::world::{MS, SECOND};

/// Settings with a schedule of somebody's own, which does `this` whenever it is asked.
fn asking(this: impl Fn() + Send + Sync + 'static) -> RetryConfig {
    let own = CustomBackoff::new(move |_| {
        this();
        MS
    });
    RetryConfig { strategy: Strategy::Custom(own), ..RetryConfig::default() }
}

/// What comes of it, unless it waits for itself.
fn ends<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let (done, is_done) = mpsc::sync_channel(1);
    thread::spawn(move || done.send(work()));
    is_done.recv_timeout(60 * SECOND).expect("it waits for a lock that it holds")
}

#[test]
fn a_schedule_that_asks_its_registry_finds_it_open() {
    let registry = Registry::new();
    let inside = registry.clone();
    let config = asking(move || assert!(inside.find("other").is_none()));
    ends(move || registry.retry("quotes", &config)).unwrap();
}

#[test]
fn of_two_who_ask_for_a_new_name_at_once_the_first_stays() {
    let registry = Registry::new();
    let inside = registry.clone();
    let first = RetryConfig::default();
    let config = asking(move || drop(inside.retry("quotes", &first).unwrap()));
    let (same, late) = (registry.clone(), config.clone());
    let second = ends(move || same.retry("quotes", &late));
    assert!(matches!(second, Err(RegistryError::Conflict { .. })), "{second:?}");
    assert!(registry.retry("quotes", &RetryConfig::default()).is_ok());
    assert_eq!(registry.snapshot().retry_managers.len(), 1);
}

#[test]
fn a_schedule_that_asks_its_policy_for_many_keys_finds_it_open() {
    let tenants = Policy::builder("tenants").per_key::<Arc<str>>().build().unwrap();
    let inside = tenants.clone();
    let retry = asking(move || assert_eq!(inside.counts().calls.started, 0));
    let config = PolicyConfig { retry: Some(retry), ..PolicyConfig::default() };
    ends(move || tenants.reload(&config)).unwrap();
}
