//! The data plane on addresses of this machine, without anything around it: for benchmarks and for trying it by hand.
//!
//!     cargo run --release -p load-balancer --example proxy -- PORT TARGET_PORT [CERTIFICATE_PEM KEY_PEM]
//!
//! It listens on 127.0.0.1:PORT, by HTTPS when a certificate is given, and forwards to 127.0.0.1:TARGET_PORT. Prints `ready` when it listens;
//! ends with its standard input.

use std::{env, error::Error, fs, io::Read, net::Ipv4Addr, sync::Arc};

use load_balancer::{DataPlane, HostSockets};
use routing::config::{
    Action, Certificate, Configuration, Forward, Interface, Listener, ListenerAttributes, ListenerProtocol,
    LoadBalancer, LoadBalancerAttributes, LoadBalancerKind, Outcome, Protocol, ProtocolVersion, Scheme,
    SecretText, Target, TargetGroup, TargetGroupAttributes, WeightedTargetGroup,
};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let (port, target_port, certificate) = match arguments.as_slice() {
        [port, target_port] => (port.parse()?, target_port.parse()?, None),
        [port, target_port, chain, key] => {
            let certificate = Certificate {
                arn: "certificate".to_owned(),
                chain_pem: fs::read_to_string(chain)?,
                private_key_pem: SecretText::new(fs::read_to_string(key)?),
            };
            (port.parse()?, target_port.parse()?, Some(certificate))
        }
        _ => return Err("usage: proxy PORT TARGET_PORT [CERTIFICATE_PEM KEY_PEM]".into()),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async move {
        let plane = DataPlane::start(Arc::new(HostSockets));
        plane.apply(configuration(port, target_port, certificate));
        let mut reports = plane.reports();
        reports.wait_for(|reports| !reports.listening.is_empty()).await?;
        println!("ready");
        tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new())).await??;
        Ok(())
    })
}

fn configuration(port: u16, target_port: u16, certificate: Option<Certificate>) -> Configuration {
    let forward = Forward {
        target_groups: vec![WeightedTargetGroup { arn: "group".to_owned(), weight: 1 }],
        stickiness_seconds: None,
    };
    Configuration {
        generation: 1,
        load_balancers: vec![LoadBalancer {
            arn: "balancer".to_owned(),
            name: "balancer".to_owned(),
            dns_name: "localhost".to_owned(),
            kind: LoadBalancerKind::Application,
            scheme: Scheme::Internal,
            attributes: LoadBalancerAttributes::default(),
            interfaces: vec![Interface {
                id: "eni-1".to_owned(),
                subnet_id: "subnet-1".to_owned(),
                vpc_id: "vpc-1".to_owned(),
                zone: "local".to_owned(),
                private_address: Ipv4Addr::LOCALHOST,
                public_address: None,
                mac: String::new(),
                security_groups: Vec::new(),
            }],
            listeners: vec![Listener {
                arn: "listener".to_owned(),
                protocol: if certificate.is_some() {
                    ListenerProtocol::Https
                } else {
                    ListenerProtocol::Http
                },
                port,
                ssl_policy: None,
                alpn_policy: None,
                certificates: certificate.into_iter().collect(),
                client_certificates: Default::default(),
                attributes: ListenerAttributes::default(),
                rules: Vec::new(),
                default: Outcome { transforms: Vec::new(), action: Action::Forward(forward) },
            }],
        }],
        target_groups: vec![TargetGroup {
            arn: "group".to_owned(),
            name: "group".to_owned(),
            protocol: Protocol::Http,
            version: ProtocolVersion::Http1,
            health_check: None,
            attributes: TargetGroupAttributes::default(),
            targets: vec![Target {
                id: "127.0.0.1".to_owned(),
                address: Ipv4Addr::LOCALHOST.into(),
                port: target_port,
                zone: None,
                draining: false,
                registration: 0,
            }],
        }],
    }
}
