//! Errors of this machine, which are no evidence about an endpoint.

use std::io;

use crate::class::Class;
use crate::verdict::Verdict;

/// The errors of a machine without a free descriptor, which the standard library does not name:
/// `EMFILE` of the process and `ENFILE` of the system.
const NO_DESCRIPTOR: &[i32] = if cfg!(windows) {
    &[10024] // WSAEMFILE
} else {
    &[24, 23]
};

/// The error of a machine without buffers for its sockets, `ENOBUFS`.
const NO_BUFFERS: i32 = if cfg!(windows) {
    10055 // WSAENOBUFS
} else if cfg!(any(target_os = "linux", target_os = "android")) {
    105
} else {
    55
};

/// Returns the verdict on an error of this machine.
///
/// A lack of descriptors or ports appears when a socket is opened, before the request is sent. A
/// lack of memory can also end a connection that carried the request.
pub(super) fn local_verdict(error: &io::Error) -> Option<Verdict> {
    let local = Verdict::new(Class::Local);
    let code = error.raw_os_error();
    match (error.kind(), code) {
        (io::ErrorKind::AddrNotAvailable, _) => Some(local),
        (_, Some(code)) if NO_DESCRIPTOR.contains(&code) => Some(local),
        // A signal has a code. Without one, the lookup of a name was cancelled.
        (io::ErrorKind::OutOfMemory, _)
        | (io::ErrorKind::Interrupted, None)
        | (_, Some(NO_BUFFERS)) => Some(local.maybe_processed()),
        _ => None,
    }
}
