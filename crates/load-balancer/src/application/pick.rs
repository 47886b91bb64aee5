//! Which group and which target, for one request: the core's choices, fed with what is known here, and the cookies that keep to them.

use std::{
    cell::RefCell,
    sync::{Arc, atomic::Ordering},
};

use routing::{
    choose::{self, Turn},
    config::{Forward, LoadBalancerKind, Stickiness},
    sticky,
};

use super::{
    clock::{Clock, http_date},
    snapshot::{Group, ListenerConfig, Share},
    target::{InFlight, TargetState},
};

thread_local! {
    static ELIGIBLE: RefCell<Vec<u32>> = const { RefCell::new(Vec::new()) };
}

/// The target that a request goes to.
#[derive(Debug)]
pub(crate) struct Picked {
    pub in_flight: InFlight,
    /// To be set when the target answers.
    pub cookies: Vec<String>,
    /// The client was not bound to a target although the group binds.
    pub unbound: bool,
}

/// Looks cookies up: name, and what is done with each value; true ends the search.
pub(crate) type Cookies<'a> = &'a dyn Fn(&str, &mut dyn FnMut(&[u8]) -> bool);

/// The group of a forward action. `None` when nothing may be forwarded to.
pub(crate) fn group(
    listener: &ListenerConfig,
    shares: &[Share],
    forward: &Forward,
    cookies: Cookies<'_>,
    clock: &Clock,
) -> Option<(Arc<Group>, Vec<String>)> {
    if let [share] = shares
        && forward.stickiness_seconds.is_none()
    {
        return share.group.clone().map(|group| (group, Vec::new()));
    }
    let now = clock.unix_seconds();
    let bound = forward.stickiness_seconds.and_then(|seconds| {
        let mark = mark_of(cookies, &[sticky::GROUP_COOKIE, sticky::GROUP_COOKIE_CORS], seconds, now)?;
        let usable =
            |share: &&Share| share.weight > 0 && share.group.as_ref().is_some_and(|group| group.mark == mark);
        shares.iter().find(usable)?.group.clone()
    });
    let group = bound.or_else(|| {
        let weights: Vec<u32> = shares.iter().map(|share| share.weight).collect();
        shares[choose::group(&weights, clock.random())?].group.clone()
    })?;
    let set = forward.stickiness_seconds.map_or_else(Vec::new, |seconds| {
        let value = sticky::value(group.mark, now);
        pair([sticky::GROUP_COOKIE, sticky::GROUP_COOKIE_CORS], &value, seconds, now, listener)
    });
    Some((group, set))
}

/// A target of the group, other than those in `tried`.
pub(crate) fn target(
    listener: &ListenerConfig,
    group: &Arc<Group>,
    cookies: Cookies<'_>,
    clock: &Clock,
    tried: &[u64],
) -> Option<Picked> {
    let now = clock.unix_seconds();
    let crosses = listener.crosses_zones(group);
    let slow_start = group.attributes.slow_start_seconds > 0;
    let candidate = |place: u32| group.targets[place as usize].candidate(&listener.zone, slow_start);
    let classic = listener.balancer.kind == LoadBalancerKind::Classic;
    let (names, seconds) = match &group.attributes.stickiness {
        Stickiness::LoadBalancerCookie { seconds } if classic => (vec![sticky::CLASSIC_COOKIE], *seconds),
        Stickiness::LoadBalancerCookie { seconds } => {
            (vec![sticky::TARGET_COOKIE, sticky::TARGET_COOKIE_CORS], *seconds)
        }
        Stickiness::ApplicationCookie { .. } if classic => (vec![sticky::CLASSIC_COOKIE], 0),
        Stickiness::ApplicationCookie { seconds, .. } => (vec![sticky::APPLICATION_COOKIE], *seconds),
        Stickiness::Off | Stickiness::SourceAddress => (Vec::new(), 0),
    };
    let chosen = ELIGIBLE.with_borrow_mut(|eligible| {
        let candidates = group.targets.iter().map(|target| target.candidate(&listener.zone, slow_start));
        choose::eligible(candidates, &group.attributes, crosses, eligible);
        eligible.retain(|place| !tried.contains(&group.targets[*place as usize].number));
        let bound = (!names.is_empty()).then(|| mark_of(cookies, &names, seconds, now)).flatten();
        let bound = bound.and_then(|mark| {
            eligible.iter().copied().find(|place| group.targets[*place as usize].mark == mark)
        });
        let turn = Turn { number: group.turn.fetch_add(1, Ordering::Relaxed), random: clock.random() };
        let place = bound.or_else(|| choose::target(eligible, &group.attributes, candidate, turn))?;
        Some((Arc::clone(&group.targets[place as usize]), bound.is_some()))
    });
    let (target, bound) = chosen?;
    let cookies = match &group.attributes.stickiness {
        Stickiness::LoadBalancerCookie { .. } if !(classic && bound) => {
            binding(&names, &target, seconds, now, listener)
        }
        _ => Vec::new(),
    };
    Some(Picked { in_flight: InFlight::begin(&target), cookies, unbound: !names.is_empty() && !bound })
}

/// The cookies to set because the application has set its own.
pub(crate) fn application_cookies(
    listener: &ListenerConfig,
    group: &Group,
    target: &TargetState,
    clock: &Clock,
    mut set_cookies: impl Iterator<Item = impl AsRef<[u8]>>,
) -> Vec<String> {
    let Stickiness::ApplicationCookie { name, seconds } = &group.attributes.stickiness else {
        return Vec::new();
    };
    let is_own =
        |cookie: &[u8]| cookie.strip_prefix(name.as_bytes()).is_some_and(|rest| rest.first() == Some(&b'='));
    if !set_cookies.any(|cookie| is_own(cookie.as_ref())) {
        return Vec::new();
    }
    let classic = listener.balancer.kind == LoadBalancerKind::Classic;
    let our = if classic { sticky::CLASSIC_COOKIE } else { sticky::APPLICATION_COOKIE };
    binding(&[our], target, if classic { 0 } else { *seconds }, clock.unix_seconds(), listener)
}

fn binding(
    names: &[&str],
    target: &TargetState,
    seconds: u32,
    now: u64,
    listener: &ListenerConfig,
) -> Vec<String> {
    let value = sticky::value(target.mark, now);
    match names {
        [first, second] => pair([*first, *second], &value, seconds, now, listener),
        names => names.iter().map(|name| cookie(name, &value, seconds, now)).collect(),
    }
}

fn cookie(name: &str, value: &str, seconds: u32, now: u64) -> String {
    if seconds == 0 {
        return format!("{name}={value}; Path=/");
    }
    let expires = http_date(now + u64::from(seconds));
    format!("{name}={value}; Expires={}; Path=/", String::from_utf8_lossy(&expires))
}

/// The second is for requests from other sites, which browsers want encrypted.
fn pair(
    [own, cors]: [&str; 2],
    value: &str,
    seconds: u32,
    now: u64,
    listener: &ListenerConfig,
) -> Vec<String> {
    let secure = if listener.encrypted { "; Secure" } else { "" };
    vec![
        cookie(own, value, seconds, now),
        format!("{}; SameSite=None{secure}", cookie(cors, value, seconds, now)),
    ]
}

fn mark_of(cookies: Cookies<'_>, names: &[&str], seconds: u32, now: u64) -> Option<u64> {
    let mut found = None;
    for name in names {
        cookies(name, &mut |value| {
            found = sticky::read(value, seconds, now);
            found.is_some()
        });
        if found.is_some() {
            break;
        }
    }
    found
}
