"""The audit trail's chain: what is as it was written fits it, over a kill as well; what was touched does not."""

import shutil
import sqlite3
import subprocess

import pytest

from conftest import BIN, Platform


@pytest.fixture
def own(request, kept_dir):
    assert request.getfixturevalue("stopped_shared") is None
    platform = Platform(data_dir=kept_dir).start()
    yield platform
    if platform.process.poll() is None:
        platform.stop()


def verify(directory, *more):
    done = subprocess.run([BIN, "audit", "verify", "--data-dir", str(directory), *more], capture_output=True, text=True, timeout=60)
    return done.returncode, done.stdout + done.stderr


def head(said):
    return said.strip().rsplit("head ", 1)[1]


def test_the_trail_is_held_against_its_chain(own, tmp_path):
    ecs = own.client("ecs")
    for number in range(20):
        ecs.create_cluster(clusterName=f"audited-{number}")
    # What was called is on the disk when it can be looked up.
    own.client("cloudtrail").lookup_events(MaxResults=1)
    code, said = verify(own.data_dir)
    assert code == 0 and "The audit trail is as it was written" in said, said
    before = head(said)
    own.kill()
    own.start()
    own.client("ecs").create_cluster(clusterName="after")
    own.client("cloudtrail").lookup_events(MaxResults=1)
    code, said = verify(own.data_dir, "--head", before)
    assert code == 0 and head(said) != before, said
    own.stop()
    code, said = verify(own.data_dir, "--head", before)
    assert code == 0, said

    def copied():
        copy = tmp_path / "copy"
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(own.data_dir, copy, ignore=lambda _, names: [name for name in names if name in ("node", "blobs")])
        return copy

    def touched(statement):
        copy = copied()
        [day] = (copy / "audit").glob("events-*.sqlite")
        with sqlite3.connect(day) as events:
            assert events.execute(statement).rowcount > 0
        events.close()
        return verify(copy)

    one = "(SELECT seq FROM events WHERE message LIKE '%audited-7%' LIMIT 1)"
    code, said = touched(f"UPDATE events SET message = replace(message, 'audited-7', 'audited-8') WHERE seq = {one}")
    assert code == 1 and "NOT as it was written: 2 faults" in said and "CreateCluster" in said, said
    code, said = touched(f"DELETE FROM events WHERE seq = {one}")
    assert code == 1 and "is missing, or was altered" in said, said
    # Without its chain it shows nothing.
    copy = copied()
    for link in (copy / "audit" / "chain").iterdir():
        link.unlink()
    code, said = verify(copy)
    assert code == 1 and "it was cut off or removed" in said and "NOT as it was written" in said, said
    (copy / "audit" / "chain.mark").unlink()
    code, said = verify(copy)
    assert code == 1 and "NOT VERIFIED" in said, said
    # Another root key is none of this trail's.
    other = tmp_path / "other.key"
    other.write_bytes(bytes(32))
    other.chmod(0o600)
    code, said = verify(own.data_dir, "--root-key", str(other))
    assert code == 1 and "did not make" in said, said
