//! Counts allocations, each thread its own.
//!
//! A counter all threads share would be the most contended line of a row with two threads.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
};

/// Allocations this thread has made so far; growing or shrinking one counts as another.
pub(crate) fn so_far() -> u64 {
    COUNT.with(Cell::get)
}

struct Counting;

thread_local! {
    static COUNT: Cell<u64> = const { Cell::new(0) };
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn count() {
    // A thread that is being torn down may still allocate; nobody asks for its count.
    let _ = COUNT.try_with(|count| count.set(count.get() + 1));
}

#[expect(
    unsafe_code,
    reason = "an allocator cannot be written without; it only counts and passes on"
)]
// SAFETY: every method passes its arguments on to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller's promise.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: the caller's promise.
        unsafe { System.realloc(at, layout, size) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(at, layout) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_thread_counts_its_own() {
        let before = so_far();
        let boxed = std::hint::black_box(Box::new(1_u64));
        assert_eq!(so_far() - before, 1);
        drop(boxed);
        assert_eq!(so_far() - before, 1);
        let elsewhere = std::thread::spawn(|| {
            let before = so_far();
            drop(std::hint::black_box(vec![0_u8; 10]));
            so_far() - before
        });
        assert_eq!(elsewhere.join().expect("the thread ends"), 1);
    }
}
