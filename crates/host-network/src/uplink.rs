//! The links to the outside, and forwarding from them.
//!
//! Whether IPv4 forwards a packet is decided by the setting of the link it came in on. Tasks' links have it set, so
//! traffic between tasks needs nothing of the host. Answers from outside come in on the link of the default route,
//! which therefore has to forward too as soon as there is a VPC. The global `ip_forward` would turn
//! every link of the host into a router's; setting just this link, and refusing in our own chain (`gated`) what it
//! would newly forward but not to or from tasks, leaves the host forwarding exactly what it forwarded before.
//!
//! When someone else turns `ip_forward` on (a container engine does), the refusal is lifted: from then on forwarding
//! is their decision. On teardown the setting goes back, unless `ip_forward` is on by then.

use std::collections::BTreeSet;

use crate::{
    engine::Engine,
    error::{During, NetworkError},
    ruleset, sysctl,
};

#[derive(Debug, Default)]
pub(crate) struct Uplinks {
    /// Links that did not forward before we made them.
    opened: BTreeSet<String>,
    /// Whether the host forwards everywhere by its own will.
    host_forwards: bool,
}

impl Uplinks {
    pub(crate) fn new(opened: BTreeSet<String>) -> Uplinks {
        Uplinks { opened, host_forwards: false }
    }

    pub(crate) fn opened(&self) -> BTreeSet<String> {
        self.opened.clone()
    }

    /// The links whose forwarding is confined to tasks.
    pub(crate) fn gated(&self) -> Vec<String> {
        match self.host_forwards {
            true => vec![],
            false => self.opened.iter().cloned().collect(),
        }
    }

    /// Puts the settings back.
    pub(crate) fn close(&mut self) -> Result<(), NetworkError> {
        if host_forwards()? {
            return Ok(());
        }
        std::mem::take(&mut self.opened)
            .iter()
            .try_for_each(|link| sysctl::write_if_present(&setting(link), "0"))
    }
}

impl Engine {
    /// Follows changes of the default route and of the host's own forwarding, while there is a VPC.
    pub(crate) fn refresh_uplinks(&mut self) -> Result<(), NetworkError> {
        let before = self.uplinks.gated();
        let closed = self.look_at_uplinks()?;
        if before != self.uplinks.gated() {
            self.save_frame()?;
            let script = ruleset::gate(&self.config.table, &self.uplinks.gated());
            self.nft.run("confine forwarding", &script)?;
        }
        self.open_uplinks(&closed)
    }

    /// Finds the links that have to be made to forward, and counts them among the gated ones: first the rules learn
    /// of it, then [`Engine::open_uplinks`] is called, so that nothing new is forwarded in between.
    pub(super) fn look_at_uplinks(&mut self) -> Result<Vec<String>, NetworkError> {
        let mut closed = vec![];
        if self.state.vpcs.is_empty() {
            return Ok(closed);
        }
        let routes = self.host.routes().during(|| "cannot list routes".to_owned())?;
        // VPN clients put two halves in front of the default route.
        let outward: BTreeSet<u32> = routes
            .iter()
            .filter(|route| route.destination.prefix_len() <= 1)
            .filter_map(|route| route.link)
            .collect();
        let links = self.host.links().during(|| "cannot list links".to_owned())?;
        for link in links.into_iter().filter(|link| outward.contains(&link.index)) {
            if sysctl::read(&setting(&link.name))? == "0" {
                self.uplinks.opened.insert(link.name.clone());
                closed.push(link.name);
            }
        }
        self.uplinks.host_forwards = host_forwards()?;
        Ok(closed)
    }

    pub(super) fn open_uplinks(&self, closed: &[String]) -> Result<(), NetworkError> {
        for link in closed {
            sysctl::write(&setting(link), "1")?;
            tracing::info!(%link, "made the uplink forward, to and from tasks with public addresses only");
        }
        Ok(())
    }
}

fn setting(link: &str) -> String {
    format!("net/ipv4/conf/{link}/forwarding")
}

fn host_forwards() -> Result<bool, NetworkError> {
    Ok(sysctl::read("net/ipv4/ip_forward")? != "0")
}
