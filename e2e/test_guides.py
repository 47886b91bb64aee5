"""The guides that promise to be pasted from top to bottom, pasted."""

import pathlib
import re
import shutil
import subprocess
import tempfile

import pytest

from conftest import BIN, ROOT, Platform

# The newest there is; Debian's is older than canary deployments.
CLI = ROOT / ".venv" / "cli-v1" / "bin" / "aws"


@pytest.fixture
def fresh(stopped_shared):
    """An empty platform, as a guide's reader has it."""
    platform = Platform().start()
    yield platform
    if platform.process.poll() is None:
        platform.stop()


def blocks(guide):
    """What is to be pasted here, and what into another terminal."""
    found = re.findall(r"^```sh\n(.*?)^```$", (ROOT / "docs" / "guides" / guide).read_text(), re.MULTILINE | re.DOTALL)
    elsewhere = [block for block in found if "# in another terminal" in block]
    # The reader's machine is set up already, and the platform runs.
    done = [block for block in found if "apt-get install" in block or "longshore up" in block]
    return [block for block in found if block not in elsewhere + done], elsewhere


def here(platform, text):
    """As typed on this machine: the tests' port, root already."""
    return text.replace(":4566", f":{platform.port}").replace("sudo -E ", "").replace("sudo ", "")


def paste(platform, guide, directory, timeout):
    ours, _ = blocks(guide)
    script = "\n".join(["exec 2>&1", f'aws() {{ {CLI} "$@"; }}', *(here(platform, block) for block in ours)])
    script = script.replace('eval "$(longshore env)"', ":")
    env = {**platform.environment(), "CONTAINERS_STORAGE_CONF": str(directory / "storage.conf"), "REGISTRY_AUTH_FILE": str(directory / "auth.json")}
    (directory / "storage.conf").write_text(f'[storage]\ndriver = "vfs"\ngraphroot = "{directory}/graph"\nrunroot = "{directory}/run"\n')
    done = subprocess.run(
        ["bash", "-euxo", "pipefail", "-c", script], cwd=directory, env=env, stdout=subprocess.PIPE, text=True, timeout=timeout
    )
    assert done.returncode == 0, done.stdout[-6000:]
    return done.stdout


@pytest.fixture
def place():
    directory = pathlib.Path(tempfile.mkdtemp(prefix="longshore-guide-", dir="/var/tmp"))
    yield directory
    shutil.rmtree(directory, ignore_errors=True)


def test_getting_started(fresh, place):
    printed = paste(fresh, "getting-started.md", place, 120)
    assert "\nhello\n" in printed and "serving" in printed


def test_services(fresh, place, tmp_path):
    _, [agent] = blocks("services.md")
    words = here(fresh, agent).split("&&")[1].split("#")[0].split()
    assert words[0] == "longshore"
    log = (tmp_path / "agent").open("w")
    # The cluster that it joins is made on the way.
    waits = f"until {CLI} ecs describe-clusters --query 'clusters[?status==`ACTIVE`]' --output text | grep -q .; do sleep 0.5; done; exec {BIN} {' '.join(words[1:])}"
    agent = subprocess.Popen(["bash", "-c", waits], env=fresh.environment(), stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        printed = paste(fresh, "services.md", place, 600)
    finally:
        agent.terminate()
        agent.wait(60)
    assert agent.returncode == 0, pathlib.Path(log.name).read_text()
    # Nobody who asked during the deployments was refused; both revisions were seen.
    seen = dict(reversed(line.split()) for line in printed.splitlines() if re.fullmatch(r" +\d+ [a-z]+", line))
    assert "failed" not in seen and {"one", "two", "four", "five"} <= set(seen)
    for said in ("deployment failed: tasks failed to start", "rolling back to deployment", "has reached a steady state", "ROLLBACK_SUCCESSFUL"):
        assert said in printed, said
