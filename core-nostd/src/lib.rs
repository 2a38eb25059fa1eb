//! Proves that `seawall-core`, with all it depends on, needs no std.
//!
//! `#![no_std]` on the core binds the core alone: a dependency may still bring std in. A static library
//! has to name its one panic handler, and std has one too, so here std anywhere below is a compile error,
//! without another target to install. Nothing is built from this: `cargo check` is enough.

#![no_std]

use core::{
    alloc::{GlobalAlloc, Layout},
    panic::PanicInfo,
    ptr,
};

pub use seawall_core;

/// A heap without room: nothing here ever runs.
struct NoHeap;

// SAFETY: null is the documented way to say that there is no memory, and so nothing is ever freed.
unsafe impl GlobalAlloc for NoHeap {
    unsafe fn alloc(&self, _: Layout) -> *mut u8 {
        ptr::null_mut()
    }

    unsafe fn dealloc(&self, _: *mut u8, _: Layout) {}
}

#[global_allocator]
static HEAP: NoHeap = NoHeap;

#[panic_handler]
fn stop(_: &PanicInfo<'_>) -> ! {
    loop {}
}
