//! Prepared namespaces: how many there are, what happens without any, and many attachments at once.

use std::{net::Ipv4Addr, time::Instant};

use super::world::{at, on_a_host, reaches, serve};

#[test]
fn fifty_tasks_eight_at_a_time() {
    on_a_host(|world| async move {
        let network = world.network().await;
        let mut waiting: Vec<_> = (0..50).map(|_| world.interface(&["open"])).collect();
        let mut attached = vec![];
        while !waiting.is_empty() {
            let batch = waiting.split_off(waiting.len().saturating_sub(8));
            let mut running = tokio::task::JoinSet::new();
            for spec in batch {
                let network = network.clone();
                running.spawn(async move { network.attach(spec).await });
            }
            while let Some(done) = running.join_next().await {
                attached.push(done.expect("no panic").expect("attached"));
            }
        }
        for task in &attached {
            serve(at(task), Ipv4Addr::UNSPECIFIED, 80);
        }
        for pair in attached.windows(2) {
            assert_eq!(reaches(at(&pair[0]), pair[1].spec.address, 80), pair[0].spec.address);
        }
        let mut running = tokio::task::JoinSet::new();
        for task in attached {
            let network = network.clone();
            running.spawn(async move { network.detach(task.spec.eni_id).await });
        }
        while let Some(done) = running.join_next().await {
            done.expect("no panic").expect("detached");
        }
        assert_eq!(network.list().await.expect("listed"), vec![]);
    });
}

#[test]
fn the_pool_fills_and_refills_and_may_run_out() {
    on_a_host(|mut world| async move {
        world.config.warm_namespaces = 3;
        let network = world.network().await;
        while network.warm().await.expect("counted") < 3 {
            tokio::task::yield_now().await;
        }
        for _ in 0..5 {
            let task = world.task(&network, &["open"]).await;
            serve(at(&task), Ipv4Addr::UNSPECIFIED, 80);
            reaches(None, task.spec.address, 80);
        }
        while network.warm().await.expect("counted") < 3 {
            tokio::task::yield_now().await;
        }
        network.teardown().await.expect("torn down");
    });
}

/// Not an assertion but a measurement: `cargo nextest run -p host-network --run-ignored only how_fast --no-capture`.
#[test]
#[ignore = "prints how long attaching takes"]
fn how_fast() {
    on_a_host(|mut world| async move {
        world.config.warm_namespaces = 24;
        let begin = Instant::now();
        let network = world.start().await;
        println!("start: {:?}", begin.elapsed());
        while network.warm().await.expect("counted") < 24 {
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
        println!("24 namespaces prepared: {:?}", begin.elapsed());
        network.ensure_vpc(super::world::vpc()).await.expect("a VPC");
        let group = super::world::allowing("open", vec![crate::Rule::everything()]);
        let begin = Instant::now();
        network.set_security_group(group).await.expect("a group");
        println!("set a group: {:?}", begin.elapsed());
        for round in 0..3 {
            while network.warm().await.expect("counted") < 24 {
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
            let spec = world.interface(&["open"]);
            let begin = Instant::now();
            let one = network.attach(spec).await.expect("attached");
            println!("round {round}: one: {:?}", begin.elapsed());
            while network.warm().await.expect("counted") < 24 {
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
            let specs: Vec<_> = (0..20).map(|_| world.interface(&["open"])).collect();
            let begin = Instant::now();
            let mut running = tokio::task::JoinSet::new();
            for spec in specs.clone() {
                let network = network.clone();
                running.spawn(async move { network.attach(spec).await });
            }
            while let Some(done) = running.join_next().await {
                done.expect("no panic").expect("attached");
            }
            println!("round {round}: twenty at once: {:?}", begin.elapsed());
            let begin = Instant::now();
            network.detach(one.spec.eni_id).await.expect("detached");
            println!("round {round}: detach one: {:?}", begin.elapsed());
            let begin = Instant::now();
            let mut running = tokio::task::JoinSet::new();
            for spec in specs {
                let network = network.clone();
                running.spawn(async move { network.detach(spec.eni_id).await });
            }
            while let Some(done) = running.join_next().await {
                done.expect("no panic").expect("detached");
            }
            println!("round {round}: detach twenty: {:?}", begin.elapsed());
        }
        let begin = Instant::now();
        network.teardown().await.expect("torn down");
        println!("teardown: {:?}", begin.elapsed());
    });
}
