//! The cells of a keyed map, in a table that says by itself who was used last.
//!
//! ```text
//!   heads   [ · ][ ○ ][ · ][ ○ ]      by hash; keys that meet there are a chain through the table
//!                  ▾         ▾
//!   table   [ key cell next older younger ][ … ]
//! ```
//!
//! A place in the table is a number: whoever holds a cell comes back to it without its key. It is another key's only
//! once the cell was idle, which the owner of the map decides, cell by cell.
//!
//! Not the standard library's map: it would keep each key a second time, and where keys come and go for ever it
//! fills up with marks of those that went, takes twice the room, and now and then does everything anew.

use std::{
    borrow::Borrow,
    hash::{BuildHasher, Hash, RandomState},
    mem::replace,
};

use super::KeyedSnapshot;

/// The table, and the cell of all for whom there is no room.
pub(crate) struct Cells<K, C> {
    hasher: RandomState,
    /// The first place of each chain. As many as a power of two, or none while there is no table.
    heads: Box<[u32]>,
    table: Vec<Place<K, C>>,
    /// The ends of the list.
    oldest: u32,
    youngest: u32,
    max_keys: u32,
    fresh: C,
    overflow: C,
    overflowed: u64,
    evicted: u64,
}

struct Place<K, C> {
    key: K,
    cell: C,
    /// In its chain.
    next: u32,
    older: u32,
    younger: u32,
}

impl<K: Hash + Eq + Clone, C: Clone> Cells<K, C> {
    /// No cells; those that come begin as `fresh`.
    pub(crate) fn new(max_keys: u32, fresh: C) -> Self {
        Self {
            hasher: RandomState::new(),
            heads: Box::default(),
            table: Vec::new(),
            oldest: OVERFLOW,
            youngest: OVERFLOW,
            max_keys: max_keys.min(KEYS_MAX),
            overflow: fresh.clone(),
            fresh,
            overflowed: 0,
            evicted: 0,
        }
    }

    /// The place of a key that is known.
    #[inline]
    pub(crate) fn find<Q>(&self, key: &Q) -> Option<u32>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let mut place = *self.heads.get(self.chain(key))?;
        while let Some(row) = self.table.get(place as usize) {
            if row.key.borrow() == key {
                return Some(place);
            }
            place = row.next;
        }
        None
    }

    /// The place of `key`, which is now the youngest: its own, a new one, or that of an idle cell; else the overflow's,
    /// and counted. At most 16 cells are asked whether they are idle.
    #[inline]
    pub(crate) fn place<Q>(&mut self, key: &Q, is_idle: impl FnMut(&mut C) -> bool) -> u32
    where
        K: Borrow<Q> + for<'q> From<&'q Q>,
        Q: Hash + Eq + ?Sized,
    {
        match self.find(key).or_else(|| self.settle(key, is_idle)) {
            Some(place) => {
                self.renew(place);
                place
            }
            None => {
                self.overflowed += 1;
                OVERFLOW
            }
        }
    }

    /// A place for a key that has none: a new one, or that of the oldest idle cell.
    #[cold]
    fn settle<Q>(&mut self, key: &Q, is_idle: impl FnMut(&mut C) -> bool) -> Option<u32>
    where
        K: Borrow<Q> + for<'q> From<&'q Q>,
        Q: Hash + Eq + ?Sized,
    {
        let room = self.table.len() < self.max_keys as usize;
        let freed = if room { None } else { Some(self.oldest_idle(is_idle)?) };
        let (key, cell) = (K::from(key), self.fresh.clone());
        let place = match freed {
            Some(place) => {
                self.unchain(place);
                let row = &mut self.table[place as usize];
                (row.key, row.cell) = (key, cell);
                self.evicted += 1;
                place
            }
            None => {
                self.make_room();
                let place = self.table.len() as u32;
                let (next, older, younger) = (OVERFLOW, OVERFLOW, OVERFLOW);
                self.table.push(Place { key, cell, next, older, younger });
                self.link(place);
                place
            }
        };
        self.enchain(place);
        Some(place)
    }

    /// Room for one more: twice as much as there was, but none beyond the bound.
    fn make_room(&mut self) {
        let len = self.table.len();
        if len < self.table.capacity() {
            return;
        }
        self.table.reserve_exact(len.max(8).min(self.max_keys as usize - len));
        self.heads = vec![OVERFLOW; self.table.capacity().next_power_of_two()].into_boxed_slice();
        (0..len as u32).for_each(|place| self.enchain(place));
    }

    /// Whether a key that is not known would have a place of its own. Asks the cells that [`place`](Self::place) would
    /// ask, and leaves each as old as it is.
    pub(crate) fn has_room(&mut self, mut is_idle: impl FnMut(&mut C) -> bool) -> bool {
        let mut place = self.oldest;
        self.table.len() < self.max_keys as usize
            || (0..INSPECTED_MAX).any(|_| {
                self.table.get_mut(place as usize).is_some_and(|row| {
                    place = row.younger;
                    is_idle(&mut row.cell)
                })
            })
    }

    /// Puts a place at the head of its chain.
    fn enchain(&mut self, place: u32) {
        let chain = self.chain(&self.table[place as usize].key);
        self.table[place as usize].next = replace(&mut self.heads[chain], place);
    }

    /// Takes a place out of its chain.
    fn unchain(&mut self, place: u32) {
        let Place { key, next, .. } = &self.table[place as usize];
        let (chain, next) = (self.chain(key), *next);
        let mut before = self.heads[chain];
        if before == place {
            self.heads[chain] = next;
            return;
        }
        while let Some(row) = self.table.get_mut(before as usize) {
            if row.next == place {
                row.next = next;
                return;
            }
            before = row.next;
        }
    }

    /// The first idle cell from the old end; the others that were looked at have gone to the young one.
    fn oldest_idle(&mut self, mut is_idle: impl FnMut(&mut C) -> bool) -> Option<u32> {
        for _ in 0..INSPECTED_MAX.min(self.table.len()) {
            let place = self.oldest;
            if is_idle(&mut self.table[place as usize].cell) {
                return Some(place);
            }
            self.renew(place);
        }
        None
    }
}

impl<K, C> Cells<K, C> {
    #[inline]
    fn chain<Q: Hash + ?Sized>(&self, key: &Q) -> usize {
        self.hasher.hash_one(key) as usize & self.heads.len().wrapping_sub(1)
    }

    /// The cell at a place.
    #[inline]
    pub(crate) fn at(&mut self, place: u32) -> &mut C {
        match self.table.get_mut(place as usize) {
            Some(place) => &mut place.cell,
            None => &mut self.overflow,
        }
    }

    /// Whose cell that is; `None` of the overflow cell.
    pub(crate) fn key(&self, place: u32) -> Option<&K> {
        self.table.get(place as usize).map(|place| &place.key)
    }

    /// All cells, that of the overflow included, with their places.
    pub(crate) fn all(&mut self) -> impl Iterator<Item = (u32, &mut C)> {
        let own = self.table.iter_mut().enumerate();
        own.map(|(n, place)| (n as u32, &mut place.cell)).chain([(OVERFLOW, &mut self.overflow)])
    }

    /// From now on at most so many keys, but none has to go for that.
    pub(crate) fn hold(&mut self, max_keys: u32) {
        self.max_keys = max_keys.min(KEYS_MAX).max(self.table.len() as u32);
    }

    /// From now on cells begin as `fresh`.
    pub(crate) fn begin_as(&mut self, fresh: C) {
        self.fresh = fresh;
    }

    pub(crate) const fn snapshot(&self) -> KeyedSnapshot {
        KeyedSnapshot {
            keys: self.table.len() as u32,
            max_keys: self.max_keys,
            overflowed: self.overflowed,
            evicted: self.evicted,
        }
    }

    /// Makes a cell the youngest.
    #[inline]
    fn renew(&mut self, place: u32) {
        if self.youngest == place {
            return;
        }
        let Place { older, younger, .. } = self.table[place as usize];
        self.table[younger as usize].older = older;
        match self.table.get_mut(older as usize) {
            Some(older) => older.younger = younger,
            None => self.oldest = younger,
        }
        self.link(place);
    }

    fn link(&mut self, place: u32) {
        let older = self.youngest;
        match self.table.get_mut(older as usize) {
            Some(older) => older.younger = place,
            None => self.oldest = place,
        }
        (self.table[place as usize].older, self.table[place as usize].younger) = (older, OVERFLOW);
        self.youngest = place;
    }
}

/// The place of the overflow cell, which is in no table; in the list, the end. A table that long does not fit into
/// memory.
pub(crate) const OVERFLOW: u32 = u32::MAX;

/// One number less than there are: the last is that of the overflow.
const KEYS_MAX: u32 = OVERFLOW - 1;

/// What one insertion may cost: a microsecond. A map in which more than that are in use in a row goes round in
/// `max_keys` / 16 insertions.
const INSPECTED_MAX: usize = 16;

#[cfg(test)]
mod tests {
    use std::{
        collections::{HashSet, VecDeque},
        sync::Arc,
    };

    use super::*;

    /// In use or not, and by whom it was first used.
    #[derive(Clone, Default)]
    struct Cell {
        used: bool,
        first: Option<&'static str>,
    }

    #[derive(Clone, Copy, Debug)]
    enum Step {
        Use(&'static str),
        Leave(&'static str),
    }

    /// The rule, written down without a thought for its cost: key, whether it is in use, and its place; the oldest
    /// first.
    type Plain = Vec<(&'static str, bool, u32)>;

    /// Where the step ends up, and whether a cell was made for it.
    fn plainly(plain: &mut Plain, step: Step) -> Option<(u32, bool)> {
        let (key, used) = match step {
            Step::Use(key) => (key, true),
            Step::Leave(key) => (key, false),
        };
        if let Some(at) = plain.iter().position(|(known, ..)| *known == key) {
            let (_, _, place) = plain.remove(at);
            plain.push((key, used, place));
            return Some((place, false));
        }
        let place = if plain.len() < MAX as usize {
            plain.len() as u32
        } else if let Some(at) = plain.iter().position(|(_, used, _)| !used) {
            let in_use = plain.drain(..at).collect::<Vec<_>>();
            plain.extend(in_use);
            plain.remove(0).2
        } else {
            return None;
        };
        plain.push((key, used, place));
        Some((place, true))
    }

    fn really(cells: &mut Cells<Arc<str>, Cell>, step: Step) -> Option<(u32, bool)> {
        let (key, used) = match step {
            Step::Use(key) => (key, true),
            Step::Leave(key) => (key, false),
        };
        let room = cells.has_room(|cell| !cell.used);
        let expected = room || cells.find(key).is_some();
        let place = cells.place(key, |cell| !cell.used);
        assert_eq!(place != OVERFLOW, expected, "it was told otherwise before it came");
        if place == OVERFLOW {
            return None;
        }
        let cell = cells.at(place);
        let made = cell.first.is_none();
        cell.used = used;
        assert_eq!(*cell.first.get_or_insert(key), key, "it has the cell of another");
        Some((place, made))
    }

    /// As the links tell it, in both directions.
    fn told(cells: &Cells<Arc<str>, Cell>) -> Plain {
        let mut plain = Plain::new();
        let (mut place, mut older) = (cells.oldest, OVERFLOW);
        while let Some(row) = cells.table.get(place as usize) {
            assert_eq!(row.older, older);
            assert_eq!(cells.find::<str>(&row.key), Some(place));
            plain.push((row.cell.first.unwrap(), row.cell.used, place));
            (older, place) = (place, row.younger);
        }
        assert_eq!(cells.youngest, older);
        plain
    }

    #[test]
    fn exhaustive_two_places_three_keys() {
        let steps = ["a", "b", "c"].into_iter().flat_map(|key| [Step::Use(key), Step::Leave(key)]);
        let steps: Vec<_> = steps.collect();
        let mut seen = HashSet::from([Plain::new()]);
        let mut open = VecDeque::from([Vec::new()]);
        while let Some(path) = open.pop_front() {
            for step in &steps {
                let mut path: Vec<Step> = path.clone();
                path.push(*step);
                let mut cells = Cells::new(MAX, Cell::default());
                let (mut plain, mut overflowed, mut evicted) = (Plain::new(), 0, 0);
                for step in &path {
                    let before = plain.len();
                    let expected = plainly(&mut plain, *step);
                    assert_eq!(really(&mut cells, *step), expected, "{path:?}");
                    overflowed += u64::from(expected.is_none());
                    evicted +=
                        u64::from(matches!(expected, Some((_, true))) && plain.len() == before);
                }
                assert_eq!(told(&cells), plain, "{path:?}");
                let shown = cells.snapshot();
                assert_eq!((shown.overflowed, shown.evicted), (overflowed, evicted), "{path:?}");
                if seen.insert(plain) {
                    open.push_back(path);
                }
            }
        }
        // None; one of three keys, used or not; two of them in either order at either place, each used or not.
        assert_eq!(seen.len(), 1 + 3 * 2 + 6 * 2 * 4);
    }

    const MAX: u32 = 2;
}
