//! Making a container: directory, mounts, bundle, pipes, and the set-up that makes its process.

use super::{Container, Phase, refuse};
use crate::cgroup;
use crate::config::{ContainerConfig, valid_name};
use crate::error::FailureKind;
use crate::output::writer::OutputWriter;
use crate::protocol::Refusal;
use crate::shim::capture::Capture;
use crate::shim::clients::Asker;
use crate::shim::files::Places;
use crate::shim::helper::{self, Helper, Kind, Order, Streams};
use crate::shim::{cgroups, overlay, prepare, volumes};
use crate::spec::oci::{self, Surroundings};
use crate::spec::rlimits;
use crate::status::{ContainerState, ContainerStatus, now};
use std::fs::{self, File};
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::path::Path;
use std::time::{Duration, Instant};

/// libcontainer needs milliseconds; this long is a kernel in trouble.
const CREATE_TIMEOUT: Duration = Duration::from_secs(60);
/// For copying what the image has into volumes, beyond that. An agent waits three minutes for a start.
const FILL_TIMEOUT: Duration = Duration::from_secs(100);
fn cannot(what: &'static str) -> impl Fn(io::Error) -> Refusal {
    move |e| refuse(FailureKind::CannotCreate, format!("{what}: {e}"))
}

impl Container {
    /// Makes everything but the process, and starts making that. On an error nothing is left.
    pub(in crate::shim) fn create(
        places: &Places,
        config: ContainerConfig,
        around: &Surroundings,
        keep: &[RawFd],
        asker: Asker,
    ) -> Result<Container, Refusal> {
        if !valid_name(&config.name, 255) {
            return Err(refuse(FailureKind::Invalid, format!("container name {:?}", config.name)));
        }
        let (dir, bundle) = (places.lasting(&config.name), places.bundle(&config.name));
        if dir.exists() {
            return Err(refuse(
                FailureKind::AlreadyExists,
                format!("container {} already exists", config.name),
            ));
        }
        let name = config.name.clone();
        Container::prepare(places, &dir, &bundle, config, around, keep, asker).inspect_err(|_| {
            overlay::unmount(&bundle.join("rootfs"));
            cgroups::unmount(&bundle.join(oci::CGROUPS));
            let _ = cgroup::kill_and_remove(&cgroup::container_path_in(&around.cgroup, &name));
            // What is left is in nobody's way: the task's directory goes as a whole.
            let _ = fs::remove_dir_all(&bundle);
            let _ = fs::remove_dir_all(&dir);
        })
    }

    fn prepare(
        places: &Places,
        dir: &Path,
        bundle: &Path,
        config: ContainerConfig,
        around: &Surroundings,
        keep: &[RawFd],
        asker: Asker,
    ) -> Result<Container, Refusal> {
        if config.args.is_empty() {
            return Err(refuse(FailureKind::CannotCreate, "no command specified"));
        }
        for path in [bundle, dir] {
            fs::create_dir(path).map_err(cannot("making the container's directory"))?;
        }
        let rootfs = bundle.join("rootfs");
        let layers = [config.lower_dirs.clone(), places.mount_points().into_iter().collect()].concat();
        overlay::mount(&rootfs, dir, &layers).map_err(cannot("mounting the root file system"))?;
        if !config.cwd.as_os_str().is_empty() {
            overlay::make_directory(&rootfs, &config.cwd).map_err(cannot("making the working directory"))?;
        }
        for (name, text) in [
            ("hosts", &config.etc.hosts),
            ("resolv.conf", &config.etc.resolv_conf),
            ("hostname", &config.etc.hostname),
        ] {
            if let Some(text) = text {
                prepare::write_world_readable(&bundle.join(name), text)
                    .map_err(cannot("writing the generated files"))?;
            }
        }
        let (report, reporter) = helper::pipe().map_err(cannot("making a pipe"))?;
        let (program, mut warnings) = prepare::program(&config, &rootfs, around, reporter.as_raw_fd())?;
        let (limits, clamped) = rlimits::settle(&config.rlimits, around.own_capabilities)
            .map_err(|message| refuse(FailureKind::Invalid, message))?;
        warnings.extend(clamped);
        let mut around = around.clone();
        around.cgroup = cgroup::container_path_in(&around.cgroup, &config.name);
        cgroups::mount(&bundle.join(oci::CGROUPS), &around.cgroup).map_err(cannot("showing the cgroup"))?;
        let allowed_devices =
            oci::allowed_devices(&config).map_err(|message| refuse(FailureKind::Invalid, message))?;
        let specification = oci::specification(&config, &around, bundle, &limits)
            .map_err(|message| refuse(FailureKind::Invalid, message))?;
        let bytes =
            serde_json::to_vec(&specification).map_err(|e| refuse(FailureKind::Internal, e.to_string()))?;
        fs::write(bundle.join("config.json"), bytes).map_err(cannot("writing the bundle"))?;
        let writer = OutputWriter::create(&dir.join("output"), config.output.clone())
            .map_err(cannot("making the output directory"))?;

        let mut streams = Streams::default();
        let mut readers = (None, None);
        if !config.tty {
            let (stdout, out) = helper::pipe().map_err(cannot("making a pipe"))?;
            let (stderr, err) = helper::pipe().map_err(cannot("making a pipe"))?;
            streams.stdout = Some(out);
            streams.stderr = Some(err);
            readers = (Some(File::from(stdout)), Some(File::from(stderr)));
        }
        let mut stdin = None;
        if config.open_stdin && !config.tty {
            let (reader, writer) = helper::pipe().map_err(cannot("making a pipe"))?;
            streams.stdin = Some(reader);
            stdin = Some(writer);
        }
        for file in [&readers.0, &readers.1].into_iter().flatten() {
            helper::nonblocking(file).map_err(cannot("making a pipe"))?;
        }
        let report = File::from(report);
        helper::nonblocking(&report).map_err(cannot("making a pipe"))?;
        let console_path = bundle.join("console.sock");
        let console = if config.tty {
            Some(prepare::listen(&console_path).map_err(cannot("making a terminal"))?)
        } else {
            None
        };
        let fills = volumes::fills(&rootfs, &config.mounts);
        let timeout = if fills.is_empty() { CREATE_TIMEOUT } else { CREATE_TIMEOUT + FILL_TIMEOUT };
        let order = Order {
            state_root: places.state(),
            name: config.name.clone(),
            program: program.clone(),
            streams,
            keep: keep.to_vec(),
            console: console.is_some().then_some(console_path),
            fills,
            kind: Kind::Init { bundle: bundle.to_owned() },
        };
        let helper = Helper::start(order).map_err(cannot("starting the set-up"))?;
        drop(reporter);
        let status = ContainerStatus {
            name: config.name.clone(),
            state: ContainerState::Created,
            pid: None,
            pid_start_ticks: None,
            created_at: now(),
            started_at: None,
            exited_at: None,
            exit: None,
            error: None,
            warnings,
            oom_kills: 0,
        };
        Ok(Container {
            dir: dir.to_owned(),
            bundle: bundle.to_owned(),
            cgroup: around.cgroup,
            status,
            phase: Phase::Creating,
            helper: Some(helper),
            capture: Capture::new(writer, readers.0, readers.1),
            report: Some(report),
            report_text: Vec::new(),
            asker: Some(asker),
            removers: Vec::new(),
            deadline: Some(Instant::now() + timeout),
            end: None,
            program,
            console,
            allowed_devices,
            _stdin: stdin,
            unsaved: false,
            config,
        })
    }
}
