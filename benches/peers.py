"""The engines that Longshore is held against: crun, podman and Docker, each measured on request.

Runs in a network and mount namespace of its own (`unshare --net --mount`), so that the bridges and rules of the
engines are made beside the machine's own and vanish with this process. The empty cgroup v2 hierarchy that some
machines have beside v1 is hidden, since crun would take it for the one in use.

Speaks lines of JSON: `{"engine": "crun", "count": 20}` in; `{"nanoseconds": [...]}` or `{"error": "..."}` out: for each
container the time from the start of its command to the first instruction of its own code.
"""

import atexit
import json
import os
import pathlib
import resource
import shutil
import subprocess
import sys
import time

import images

WORK = pathlib.Path(sys.argv[1])
PROGRAM = WORK / "first"
TIMEOUT_SECONDS = 120


def ulimits():
    """The limits that this process has: an engine's higher defaults are refused where the machine does not allow them."""
    nofile, nproc = (resource.getrlimit(which)[1] for which in (resource.RLIMIT_NOFILE, resource.RLIMIT_NPROC))
    nproc = min(nofile, nproc)  # podman raises one that is near the machine's own
    return [f"nofile={nofile}:{nofile}", f"nproc={nproc}:{nproc}"]


class Crun:
    """crun on a prepared bundle: no image, no network, no log, nobody who keeps it."""

    def __init__(self):
        self.bundle = WORK / "bundle"
        (self.bundle / "rootfs").mkdir(parents=True)
        for folder in ("bin", "dev", "etc", "proc", "sys", "tmp"):
            (self.bundle / "rootfs" / folder).mkdir()
        shutil.copy(PROGRAM, self.bundle / "rootfs" / "bin" / "first")
        run(["crun", "spec", "--bundle", str(self.bundle)])
        path = self.bundle / "config.json"
        config = json.loads(path.read_text())
        config["process"]["terminal"] = False
        config["process"]["args"] = ["/bin/first"]
        config["process"].pop("rlimits", None)
        path.write_text(json.dumps(config))

    def command(self, name):
        return ["crun", "--root", str(WORK / "crun"), "run", "--bundle", str(self.bundle), name]


class Podman:
    """podman run on its default bridge, with runc."""

    def __init__(self):
        self.base = [
            "podman",
            "--root", str(WORK / "podman"),
            "--runroot", "/run/podman",
            "--runtime", "runc",
            "--cgroup-manager", "cgroupfs",
            "--events-backend", "none",
        ]  # fmt: skip
        self.limits = [word for limit in ulimits() for word in ("--ulimit", limit)]
        run([*self.base, "import", "--change", 'ENTRYPOINT ["/bin/first"]', str(WORK / "first.tar"), "bench-first"])
        atexit.register(lambda: subprocess.run([*self.base, "rm", "--all", "--force"], capture_output=True))

    def command(self, name):
        return [*self.base, "run", "--rm", *self.limits, "--network", "podman", "--name", name, "bench-first"]


class Docker:
    """docker run on Docker's default bridge, with an engine of its own."""

    def __init__(self):
        self.socket = f"unix://{WORK}/docker.sock"
        log = open(WORK / "dockerd.log", "w")
        self.engine = subprocess.Popen(
            [
                "dockerd",
                "--data-root", str(WORK / "docker"),
                "--exec-root", str(WORK / "docker-run"),
                "--pidfile", str(WORK / "docker.pid"),
                "--host", self.socket,
                "--default-ulimit", ulimits()[0],
            ],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )  # fmt: skip
        atexit.register(self.stop)
        deadline = time.monotonic() + 60
        while subprocess.run(["docker", "--host", self.socket, "version"], capture_output=True).returncode != 0:
            if self.engine.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError("dockerd does not start: " + (WORK / "dockerd.log").read_text()[-600:])
            time.sleep(0.2)
        self.docker = ["docker", "--host", self.socket]
        run([*self.docker, "import", "--change", 'ENTRYPOINT ["/bin/first"]', str(WORK / "first.tar"), "bench-first"])

    def command(self, name):
        return [*self.docker, "run", "--rm", "--name", name, "bench-first"]

    def stop(self):
        self.engine.terminate()
        try:
            self.engine.wait(timeout=30)
        except subprocess.TimeoutExpired:
            self.engine.kill()
            self.engine.wait()


ENGINES = {"crun": Crun, "podman": Podman, "docker": Docker}
started = {}
number = 0


def run(command):
    done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_SECONDS)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command[:4])}: {done.stderr.strip()[-600:]}")


def measure(engine, count):
    global number
    if engine not in started:
        started[engine] = ENGINES[engine]()
    running = []
    began = time.time_ns()
    for _ in range(count):
        number += 1
        command = started[engine].command(f"bench-{os.getpid()}-{number}")
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "stdin": subprocess.DEVNULL}
        running.append(subprocess.Popen(command, text=True, **pipes))
    times = []
    for process in running:
        out, err = process.communicate(timeout=TIMEOUT_SECONDS)
        word = out.split()
        if process.returncode != 0 or len(word) != 2 or word[0] != "first":
            raise RuntimeError(f"{engine}: status {process.returncode}: {(out + err).strip()[-600:]}")
        times.append(int(word[1]) - began)
    return times


def main():
    v2_beside_v1 = pathlib.Path("/sys/fs/cgroup/unified")
    if os.path.ismount(v2_beside_v1):
        run(["umount", str(v2_beside_v1)])
    # What the engines note under /run goes with this process, too.
    run(["mount", "-t", "tmpfs", "tmpfs", "/run"])
    run(["ip", "link", "set", "lo", "up"])
    (WORK / "first.tar").write_bytes(images.program_tar(str(PROGRAM)))
    for line in sys.stdin:
        asked = json.loads(line)
        try:
            answer = {"nanoseconds": measure(asked["engine"], asked["count"])}
        except (RuntimeError, OSError, subprocess.TimeoutExpired) as error:
            answer = {"error": str(error)}
        print(json.dumps(answer), flush=True)


main()
