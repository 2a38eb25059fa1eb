//! The calls under way, each in a place that is used again.
//!
//! A place tells its calls apart by a generation: what is meant for a call that is over finds nobody, although
//! another has its place.

use seawall_core::{Call, Instant};

use super::Id;

/// A call under way.
pub(super) struct Live<P: Copy> {
    pub(super) call: Call<P>,
    pub(super) instance: usize,
    pub(super) traffic: usize,
    /// How often its user will come again.
    pub(super) again: u8,
    pub(super) running: Option<Running>,
    /// Since when it stands in line for a place.
    pub(super) in_line: Option<Instant>,
    /// Where the last attempt went.
    pub(super) server: usize,
    /// When the driver wants to be woken, and when its timer rings, in true time.
    pub(super) due: u64,
    pub(super) armed: u64,
    /// How often the clock had been moved when it began.
    pub(super) moved: u32,
}

/// What it knows of the attempt that runs.
#[derive(Clone, Copy)]
pub(super) struct Running {
    pub(super) attempt: u8,
    /// The half-open phase it probes for.
    pub(super) probe: Option<u64>,
}

/// All calls under way, each in a place that is used again.
pub(super) struct Calls<P: Copy> {
    places: Vec<(u32, Option<Live<P>>)>,
    free: Vec<u32>,
}

impl<P: Copy> Default for Calls<P> {
    fn default() -> Self {
        Self { places: Vec::new(), free: Vec::new() }
    }
}

impl<P: Copy> Calls<P> {
    pub(super) fn add(&mut self, live: Live<P>) -> Id {
        let place = self.free.pop().unwrap_or_else(|| {
            self.places.push((0, None));
            self.places.len() as u32 - 1
        });
        let (generation, slot) = &mut self.places[place as usize];
        *slot = Some(live);
        Id { place, generation: *generation }
    }

    pub(super) fn of(&mut self, id: Id) -> Option<&mut Live<P>> {
        let (generation, live) = self.places.get_mut(id.place as usize)?;
        live.as_mut().filter(|_| *generation == id.generation)
    }

    pub(super) fn remove(&mut self, id: Id) {
        if let Some((generation, live)) = self.places.get_mut(id.place as usize) {
            *generation = generation.wrapping_add(1);
            *live = None;
            self.free.push(id.place);
        }
    }

    /// One of those still under way.
    pub(super) fn any(&self) -> Option<Id> {
        let place = self.places.iter().position(|(_, live)| live.is_some())?;
        Some(Id { place: place as u32, generation: self.places[place].0 })
    }
}
