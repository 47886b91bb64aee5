//! How a capacity provider strategy shares tasks: bases first, then by weight.

/// One provider of a strategy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Provider {
    pub base: u32,
    pub weight: u32,
    /// Tasks that it has already.
    pub running: u32,
}

/// Shares `count` tasks among the providers, as positions: what is missing of a base first, then each next task to the
/// provider that is furthest behind its weight, the earlier one on a tie. A provider that is alone takes everything. Those
/// with neither base nor weight take nothing, so that fewer may be shared out than were asked for.
pub fn share(providers: &[Provider], count: usize) -> Vec<usize> {
    // A provider that is alone takes everything, whatever its weight.
    let least = u32::from(providers.len() == 1);
    // Of each: how much of its base is open, how much it has beyond the base, its weight.
    let mut shares: Vec<(u32, u64, u64)> = providers
        .iter()
        .map(|provider| {
            let open = provider.base.saturating_sub(provider.running);
            let beyond = provider.running.saturating_sub(provider.base);
            (open, u64::from(beyond), u64::from(provider.weight.max(least)))
        })
        .collect();
    let mut chosen = Vec::with_capacity(count);
    while chosen.len() < count {
        if let Some(open) = shares.iter().position(|share| share.0 > 0) {
            shares[open].0 -= 1;
            chosen.push(open);
            continue;
        }
        // The lowest share after one more task.
        let weighted = shares.iter().enumerate().filter(|(_, share)| share.2 > 0);
        let next = weighted.min_by(|(_, a), (_, b)| ((a.1 + 1) * b.2).cmp(&((b.1 + 1) * a.2)));
        let Some((next, _)) = next else { break };
        shares[next].1 += 1;
        chosen.push(next);
    }
    chosen
}
