use crate::support::{Net, Reply};

/// Servers that all follow the same rule.
pub(crate) fn servers_with_rule(
    names: &[&str],
    rule: impl Fn(usize) -> Reply + Copy + Send + Sync + 'static,
) -> Net {
    let net = Net::new();
    for name in names {
        net.on(name, rule);
    }
    net
}
