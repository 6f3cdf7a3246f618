//! The allocator of the program.

use tikv_jemallocator::Jemalloc;

/// Returns freed memory to the system within 10 s, by a thread of its own.
///
/// The buffers of connections lie between small blocks that live longer. glibc returns only the end
/// of a heap, and mimalloc returns pages only while its threads work.
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;
