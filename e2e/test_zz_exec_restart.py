"""What becomes of sessions when the platform is stopped, killed or told to be impatient.

The name puts these tests last: they start platforms of their own, and a machine has one at a time.
"""

import subprocess

import pytest

from conftest import BIN, Platform, eventually
from session_client import SessionClient
from test_exec import execute, processes, run_enabled, target
from test_zz_restart import lab_tasks, own  # noqa: F401


class Impatient(Platform):
    """One whose sessions may be silent for two seconds."""

    def launch(self):
        self.process = subprocess.Popen(
            [BIN, "up", "--listen", f"127.0.0.1:{self.port}", "--data-dir", str(self.data_dir), "--session-idle-timeout", "2"],
            stdin=subprocess.DEVNULL,
            stdout=self.log,
            stderr=subprocess.STDOUT,
        )


@pytest.mark.parametrize("how", ["stop", "kill"])
def test_a_session_ends_with_the_platform_and_the_task_does_not(own, how):  # noqa: F811
    platform, lab = own
    task = run_enabled(lab, lab.container(stopTimeout=1))
    lab.running(task)
    client = execute(lab, task, "sh -c 'sleep 4321 & sleep 4322'")
    eventually(lambda: "sleep 4322" in processes(lab, task), 10, "the command")
    getattr(platform, how)()
    client.wait(lambda session: session.over, "the connection's end")
    platform.start()
    lab.running(task)
    eventually(lambda: "sleep 432" not in processes(lab, task), 20, "the command's end")
    ssm = platform.client("ssm")
    filters = [{"key": "SessionId", "value": client.id}]
    (session,) = ssm.describe_sessions(State="History", Filters=filters)["Sessions"]
    # A platform that stops may still see its node go.
    assert session["Status"] in ("Terminated", "Failed")
    assert "TokenValue" not in ssm.resume_session(SessionId=client.id)


def test_silence_ends_a_session(stopped_shared, kept_dir, tmp_path):
    from conftest import Image, Lab

    platform = Impatient(data_dir=kept_dir).start()
    try:
        lab = Lab(platform, Image(platform, tmp_path))
        task = run_enabled(lab, lab.container(stopTimeout=1))
        lab.running(task)
        busy = execute(lab, task, "sh -c 'while true; do echo alive; sleep 0.5; done'")
        silent = execute(lab, task)
        assert silent.ends(20)["Output"] == "The session has timed out due to inactivity."
        # Output is a sign of life.
        assert busy.closed is None and not busy.over
        platform.client("ssm").terminate_session(SessionId=busy.id)
        busy.ends()
        lab.stop(task)
        # What Session Manager's own document says counts for its sessions.
        assert target(lab, task).startswith("ecs:lab_")
        with pytest.raises(platform.client("ssm").exceptions.TargetNotConnected):
            SessionClient(platform.client("ssm").start_session(Target=target(lab, task)))
    finally:
        lab_tasks(platform)
        platform.stop()
