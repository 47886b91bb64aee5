//! `longshore up`: control plane and node agent of one machine in one process.

use std::{path::PathBuf, process::ExitCode, time::Instant};

use anyhow::Context;
use control_plane::{Config, ControlPlane};
use tokio::signal::unix::{SignalKind, signal};

use crate::cli::UpArgs;

pub fn run(args: UpArgs) -> anyhow::Result<ExitCode> {
    let began = Instant::now();
    init_log(args.verbose, args.log_json);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("starting the runtime")?;
    runtime.block_on(serve(args, began))
}

async fn serve(args: UpArgs, began: Instant) -> anyhow::Result<ExitCode> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let data_dir = if args.ephemeral { PathBuf::from(format!("/var/tmp/longshore-{}", std::process::id())) } else { args.data_dir.clone() };
    let control = ControlPlane::start(Config {
        listen: args.listen,
        public_name: None,
        account: args.account.clone(),
        region: args.region.clone(),
        public_pool: args.public_pool,
        store: args.store.clone(),
        data_dir: data_dir.clone(),
        ephemeral: args.ephemeral,
        host_ranges: Vec::new(),
    })
    .await?;
    println!("Longshore {} answers on http://{} ({} ms)", env!("CARGO_PKG_VERSION"), control.address(), began.elapsed().as_millis());
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    control.stop().await;
    if args.ephemeral {
        std::fs::remove_dir_all(&data_dir).context("removing the data of this run")?;
    }
    Ok(ExitCode::SUCCESS)
}

fn init_log(verbose: u8, json: bool) {
    let default = match verbose {
        0 => "warn",
        1 => "info",
        2 => "debug",
        _ => "trace",
    };
    let filter = std::env::var("LONGSHORE_LOG").unwrap_or_else(|_| default.to_owned());
    let builder = tracing_subscriber::fmt().with_writer(std::io::stderr).with_env_filter(tracing_subscriber::EnvFilter::new(filter));
    if json { builder.json().init() } else { builder.with_target(false).init() }
}
