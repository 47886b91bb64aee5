"""Images for the benchmarks, as OCI layouts, made from nothing but the standard library."""

import gzip
import hashlib
import io
import json
import os
import pathlib
import tarfile


def _layout(directory, layers, config):
    """Writes an OCI layout; `layers` are pairs of (compressed bytes, digest of the uncompressed)."""
    blobs = pathlib.Path(directory) / "blobs" / "sha256"
    blobs.mkdir(parents=True)

    def blob(media_type, data):
        digest = hashlib.sha256(data).hexdigest()
        (blobs / digest).write_bytes(data)
        return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(data)}

    kind = "application/vnd.oci.image"
    described = [blob(f"{kind}.layer.v1.tar+gzip", data) for data, _ in layers]
    image = {
        "architecture": "amd64",
        "os": "linux",
        "config": config,
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{diff}" for _, diff in layers]},
    }
    manifest = {
        "schemaVersion": 2,
        "mediaType": f"{kind}.manifest.v1+json",
        "config": blob(f"{kind}.config.v1+json", json.dumps(image).encode()),
        "layers": described,
    }
    entry = blob(f"{kind}.manifest.v1+json", json.dumps(manifest).encode())
    index = {"schemaVersion": 2, "manifests": [entry]}
    (blobs.parent.parent / "index.json").write_text(json.dumps(index))
    (blobs.parent.parent / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')


def program_tar(program):
    """A root file system that holds one program, as a tar archive."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for folder in ("bin", "dev", "etc", "proc", "sys", "tmp"):
            entry = tarfile.TarInfo(folder)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o755
            tar.addfile(entry)
        for path in program if isinstance(program, list) else [program]:
            tar.add(path, "bin/" + os.path.basename(path))
    return archive.getvalue()


def program(directory, path):
    """An image of one program, which it runs."""
    data = program_tar(path)
    layer = (gzip.compress(data, 6, mtime=0), hashlib.sha256(data).hexdigest())
    _layout(directory, [layer], {"Entrypoint": ["/bin/" + os.path.basename(path)]})


def random(directory, megabytes, layers):
    """An image of random bytes: nobody can compress it, and no registry has seen it before."""
    made = []
    for number in range(layers):
        archive = io.BytesIO()
        with tarfile.open(fileobj=archive, mode="w") as tar:
            entry = tarfile.TarInfo(f"data-{number}")
            entry.size = megabytes * 1_000_000 // layers
            tar.addfile(entry, io.BytesIO(os.urandom(entry.size)))
        data = archive.getvalue()
        made.append((gzip.compress(data, 0, mtime=0), hashlib.sha256(data).hexdigest()))
    _layout(directory, made, {"Entrypoint": ["/none"]})
