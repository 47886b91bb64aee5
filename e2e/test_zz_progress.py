"""Progress bars of `longshore up` on a terminal: of images that come in slowly, and none for what is quick or goes to a file.

The name puts it late: it starts a platform of its own, and a machine has one at a time.
"""

import base64
import http.client
import os
import pty
import re
import select
import subprocess
import threading

import pytest

from conftest import BIN, Platform, eventually

PORT = 4571
PIECE = b"x" * 65536


class OnTerminal(Platform):
    """A platform whose output goes to a terminal, which is kept as text."""

    drawn = b""

    def launch(self):
        self.terminal, theirs = pty.openpty()
        self.drawn = b""
        command = [BIN, "up", "--listen", f"127.0.0.1:{self.port}", "--ephemeral"]
        environment = {**os.environ, "TERM": "xterm"}
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=theirs, stderr=theirs, env=environment)
        os.close(theirs)
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        while True:
            select.select([self.terminal], [], [])
            try:
                self.drawn += os.read(self.terminal, 65536)
            except OSError:
                return

    def output(self):
        return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", self.drawn.decode(errors="replace"))


@pytest.fixture
def on_terminal(stopped_shared):
    platform = OnTerminal(port=PORT).start()
    yield platform
    if platform.process.poll() is None:
        platform.stop()


def test_a_push_that_takes_a_while_shows_how_far_it_is(on_terminal):
    on_terminal.client("ecr").create_repository(repositoryName="slow")
    token = on_terminal.client("ecr").get_authorization_token()["authorizationData"][0]["authorizationToken"]
    assert base64.b64decode(token).startswith(b"AWS:")
    authorized = {"Authorization": f"Basic {token}"}
    door = http.client.HTTPConnection("127.0.0.1", PORT, timeout=30)
    door.request("POST", "/v2/slow/blobs/uploads/", headers=authorized)
    begun = door.getresponse()
    begun.read()
    assert begun.status == 202
    total = 40 * len(PIECE)
    door.putrequest("PATCH", begun.headers["Location"])
    for name, value in {**authorized, "Content-Length": str(total), "Content-Type": "application/octet-stream"}.items():
        door.putheader(name, value)
    door.endheaders()
    for _ in range(20):
        door.send(PIECE)
    # Half of it is there; the rest waits until the bar says so.
    eventually(lambda: re.search(r"Receiving slow \[=+>? *\] 1\.25 MiB of 2\.50 MiB", on_terminal.output()), 20, "the bar")
    for _ in range(20):
        door.send(PIECE)
    assert door.getresponse().status == 202
    drawn = len(on_terminal.output())
    # A quick one is over before it is worth a bar.
    door = http.client.HTTPConnection("127.0.0.1", PORT, timeout=30)
    on_terminal.client("ecr").create_repository(repositoryName="quick")
    door.request("POST", "/v2/quick/blobs/uploads/", headers=authorized)
    location = door.getresponse().headers["Location"]
    door = http.client.HTTPConnection("127.0.0.1", PORT, timeout=30)
    door.request("PATCH", location, PIECE, headers={**authorized, "Content-Type": "application/octet-stream"})
    assert door.getresponse().status == 202
    on_terminal.stop()
    assert "quick" not in on_terminal.output()[drawn:]
