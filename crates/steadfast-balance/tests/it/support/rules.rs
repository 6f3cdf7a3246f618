use http_body_util::BodyExt;
use tower::{Layer, ServiceExt};

use crate::support::{Net, Reply};

/// Servers that all follow the same rule.
pub(crate) fn servers(
    names: &[&str],
    rule: impl Fn(usize) -> Reply + Copy + Send + Sync + 'static,
) -> Net {
    let net = Net::new();
    for name in names {
        net.on(name, rule);
    }
    net
}
