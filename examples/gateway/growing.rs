//! A body in memory that grows without copies.

use std::io;

use memmap2::MmapMut;

/// A larger body has pages of its own.
///
/// The allocator of glibc takes blocks of some MiB from its arenas once a few were freed, and keeps
/// their memory. With 200 callers that send 31 MB each and a bound of 256 MiB, the process took
/// 1079 MB and kept 882 MB. Pages return to the system when the body is dropped, and pages without
/// data use no memory.
const MAX_BLOCK: usize = 128 * 1024;

/// The received data of a body.
#[derive(Debug)]
pub(crate) enum Growing {
    Block(Vec<u8>),
    Pages { pages: MmapMut, length: usize },
}

impl Growing {
    pub(crate) fn new() -> Self {
        Self::Block(Vec::new())
    }

    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Block(block) => block.len(),
            Self::Pages { length, .. } => *length,
        }
    }

    /// Appends data. The whole body has at most `room` bytes.
    ///
    /// # Errors
    ///
    /// Returns an error if the system has no memory, or the body more bytes than announced.
    pub(crate) fn push(&mut self, data: &[u8], room: usize) -> io::Result<()> {
        let new = self.len() + data.len();
        if let Self::Block(block) = self {
            if new <= MAX_BLOCK {
                if block.capacity() < new {
                    block.reserve_exact(room.clamp(new, (2 * new).min(MAX_BLOCK)) - block.len());
                }
                block.extend_from_slice(data);
                return Ok(());
            }
            let mut pages = new_pages(room.max(new))?;
            pages[..block.len()].copy_from_slice(block);
            let length = block.len();
            *self = Self::Pages { pages, length };
        }
        if let Self::Pages { pages, length } = self {
            let free = pages.get_mut(*length..new);
            free.ok_or(io::ErrorKind::InvalidData)?
                .copy_from_slice(data);
            *length = new;
        }
        Ok(())
    }
}

fn new_pages(size: usize) -> io::Result<MmapMut> {
    let pages = MmapMut::map_anon(size)?;
    // A huge page would take 2 MiB for a body of a few KiB more than a block. Old systems lack the
    // advice.
    #[cfg(target_os = "linux")]
    let _ = pages.advise(memmap2::Advice::NoHugePage);
    Ok(pages)
}

impl AsRef<[u8]> for Growing {
    fn as_ref(&self) -> &[u8] {
        match self {
            Self::Block(block) => block,
            Self::Pages { pages, length } => &pages[..*length],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_of_any_size_are_joined_in_order() {
        for piece in [1, 100, 4096, 70_000, MAX_BLOCK, MAX_BLOCK + 1] {
            for size in [0, 1, MAX_BLOCK - 1, MAX_BLOCK, MAX_BLOCK + 1, 300_000] {
                for room in [size, 400_000] {
                    let data: Vec<u8> = (0..size).map(|n| (n % 251) as u8).collect();
                    let mut growing = Growing::new();
                    for part in data.chunks(piece) {
                        growing.push(part, room).unwrap();
                    }
                    assert_eq!(growing.len(), size);
                    assert!(growing.as_ref() == data, "{piece} {size} {room}");
                }
            }
        }
    }

    #[test]
    fn body_beyond_its_room_is_an_error() {
        let mut growing = Growing::new();
        growing.push(&[0; 200_000], 200_000).unwrap();
        assert!(growing.push(&[0], 200_000).is_err());
        assert_eq!(growing.len(), 200_000);
    }
}
