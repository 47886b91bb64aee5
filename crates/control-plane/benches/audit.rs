//! What the audit trail costs: `cargo bench -p control-plane --bench audit`.
//!
//! Calls of RunTask, recorded as the gateway records them, on a control plane that keeps everything. Two figures: what a call pays before it is
//! answered (it waits for no disk), and what the trail takes for it in all, with the event's text, the chain and the disk, which is how many
//! calls a second it keeps up with.

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use aws_schema::{Operation, Shape};
use aws_shapes_ecs as ecs;
use control_plane::{
    Config, ControlPlane,
    gateway::{Answer, ApiError, Principal},
    services::cloudtrail::Recording,
};
use vocabulary::{AccountId, Region};

const CALLS: u32 = 20_000;
/// Calls between two looks at whether the trail has caught up: fewer than its queue holds.
const AT_ONCE: u32 = 1000;

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let directory = std::env::temp_dir().join(format!("longshore-bench-{}", std::process::id()));
        std::fs::create_dir_all(&directory).expect("a directory");
        let region: Region = "us-east-1".parse().expect("a region");
        let config = Config::local(region.clone(), directory.clone());
        let plane = ControlPlane::start(config).await.expect("a control plane");
        let services = plane.services();
        let caller = Principal::root(&AccountId::local(), "AKIAEXAMPLEEXAMPLE00");
        let head =
            http::Request::builder().header("user-agent", "aws-cli/2.31").header("host", "localhost:4566");
        let parts = head.body(()).expect("a request").into_parts().0;
        let input = ecs::RunTaskRequest {
            cluster: Some("web".to_owned()),
            task_definition: Some("web:1".to_owned()),
            launch_type: Some(ecs::LaunchType::Fargate),
            ..Default::default()
        };
        let input = input.into_value();
        let answer: Result<Answer, ApiError> =
            Ok(Answer::Value(ecs::RunTaskResponse::default().into_value()));
        let (mut paid, began) = (Duration::ZERO, Instant::now());
        for _ in 0..CALLS / AT_ONCE {
            let recording_began = Instant::now();
            for _ in 0..AT_ONCE {
                let now = services.now();
                let asked = (ecs::SERVICE, ecs::RunTask::TABLE);
                let mut recording = Recording::begin(&services, asked, &parts, now, "request");
                recording.caller(&caller, &region);
                recording.asked(black_box(&input));
                recording.take_place(&services).await.expect("a place");
                recording.end(&services, &answer);
            }
            paid += recording_began.elapsed();
            services.trail.settle().await;
        }
        let each = |time: Duration| time.as_secs_f64() * 1e6 / f64::from(CALLS);
        println!("audit trail, what a call pays: {:.1} us", each(paid));
        println!(
            "audit trail, all of it with the chain and the disk: {:.1} us a call",
            each(began.elapsed())
        );
        plane.stop().await;
        let _ = std::fs::remove_dir_all(directory);
    });
}
