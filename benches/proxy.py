"""The load balancer's data plane beside HAProxy and nginx from Debian: the same backend, the same load, taking turns.

Each proxy runs as many threads or workers as the machine has cores, keeps connections to the backend, and tells it the client's
address; none writes an access log. The load is wrk's: as fast as it goes over a fixed number of connections.
"""

import contextlib
import itertools
import os
import pathlib
import re
import shutil
import socket
import statistics
import subprocess
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent
CONNECTIONS = (64, 512)
SIZES = {"1 KiB": 1 << 10, "1 MiB": 1 << 20}
BACKEND_PORT = 18180
PROXIES = ("longshore", "haproxy", "nginx")
SECONDS = 4
# With many connections a large body takes seconds, and the shaking of hands before it too.
SECONDS_LARGE = 12
READY_SECONDS = 20


def proxy(report, work, _binary, rounds):
    """Throughput and the 99th percentile of latency, through each proxy."""
    missing = [tool for tool in ("wrk", "nginx", "haproxy") if not shutil.which(tool, path=path())]
    if missing:
        return report.say(f"{', '.join(missing)} not installed (Debian: wrk, nginx-light, haproxy).")
    rounds = max(3, min(rounds, 5))
    work = work / "proxy"
    work.mkdir()
    prepare(work)
    with contextlib.ExitStack() as stack:
        stack.enter_context(running(backend(work), work / "backend.log", BACKEND_PORT))
        ports = {}
        for number, (name, encrypted) in enumerate(itertools.product(PROXIES, (False, True))):
            port = BACKEND_PORT + 1 + number
            ports[name, encrypted] = port
            command, feed = COMMANDS[name](work, port, encrypted)
            stack.enter_context(running(command, work / f"{name}-{port}.log", port, feed))
        report.table(
            "case", "HAProxy req/s", "nginx req/s", "Longshore req/s", "to HAProxy (aim ≥ 1)",
            "HAProxy p99 ms", "nginx p99 ms", "Longshore p99 ms", "to HAProxy (aim ≤ 1.1)",
        )
        for encrypted, (title, _), connections in itertools.product((False, True), SIZES.items(), CONNECTIONS):
            measured = {name: [] for name in PROXIES}
            for number in range(rounds):
                # Nobody is always first.
                turn = PROXIES[number % len(PROXIES):] + PROXIES[: number % len(PROXIES)]
                for name in turn:
                    measured[name].append(load(ports[name, encrypted], encrypted, title, connections))
            rate = {name: statistics.median(rate for rate, _ in runs) for name, runs in measured.items()}
            late = {name: statistics.median(late for _, late in runs) for name, runs in measured.items()}
            report.row(
                f"{'TLS' if encrypted else 'plain'}, {title}, {connections} connections",
                *(f"{rate[name]:.0f}" for name in ("haproxy", "nginx", "longshore")),
                f"{rate['longshore'] / rate['haproxy']:.2f}",
                *(f"{late[name]:.1f}" for name in ("haproxy", "nginx", "longshore")),
                f"{late['longshore'] / late['haproxy']:.2f}",
            )


def path():
    return os.environ["PATH"] + ":/usr/sbin:/sbin"


def prepare(work):
    """What is served, and a certificate."""
    www = work / "www"
    www.mkdir()
    for title, size in SIZES.items():
        (www / title.replace(" ", "")).write_bytes(os.urandom(size))
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
         "-subj", "/CN=localhost", "-keyout", work / "key.pem", "-out", work / "certificate.pem"],
        check=True, capture_output=True,
    )
    both = (work / "certificate.pem").read_text() + (work / "key.pem").read_text()
    (work / "both.pem").write_text(both)
    # nginx gives up its rights, and its workers have to read all of this.
    for folder in (work, www):
        folder.chmod(0o755)
    build = ["cargo", "build", "--release", "--locked", "--package", "load-balancer", "--example", "proxy"]
    subprocess.run(build, cwd=ROOT, check=True)


def nginx(work, name, server):
    file = work / f"{name}.conf"
    file.write_text(f"""
        user root;
        worker_processes {os.cpu_count()};
        daemon off;
        pid {work}/{name}.pid;
        error_log stderr error;
        events {{ worker_connections 4096; }}
        http {{
            access_log off;
            sendfile on;
            tcp_nodelay on;
            keepalive_requests 1000000000;
            open_file_cache max=100;
            client_body_temp_path {work}/{name}-body;
            proxy_temp_path {work}/{name}-proxy;
            fastcgi_temp_path {work}/{name}-fastcgi;
            uwsgi_temp_path {work}/{name}-uwsgi;
            scgi_temp_path {work}/{name}-scgi;
            {server}
        }}
    """)
    return ["nginx", "-c", str(file)]


def backend(work):
    listen = f"server {{ listen 127.0.0.1:{BACKEND_PORT} backlog=4096; root {work}/www; }}"
    return nginx(work, "backend", listen)


def our_command(work, port, encrypted):
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    binary = target / "release" / "examples" / "proxy"
    certificate = [str(work / "certificate.pem"), str(work / "key.pem")] if encrypted else []
    return [str(binary), str(port), str(BACKEND_PORT), *certificate], subprocess.PIPE


def nginx_command(work, port, encrypted):
    tls = f"ssl_certificate {work}/certificate.pem; ssl_certificate_key {work}/key.pem;" if encrypted else ""
    server = f"""
        upstream backend {{ server 127.0.0.1:{BACKEND_PORT}; keepalive 512; keepalive_requests 1000000000; }}
        server {{
            listen 127.0.0.1:{port} backlog=4096 {"ssl" if encrypted else ""};
            {tls}
            location / {{
                proxy_pass http://backend;
                proxy_http_version 1.1;
                proxy_set_header Connection "";
                proxy_set_header Host $host;
                proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
            }}
        }}
    """
    return nginx(work, f"nginx-{port}", server), None


def haproxy_command(work, port, encrypted):
    file = work / f"haproxy-{port}.cfg"
    tls = f" ssl crt {work}/both.pem" if encrypted else ""
    file.write_text(f"""
global
    nbthread {os.cpu_count()}
    maxconn 4096
defaults
    mode http
    option forwardfor
    http-reuse always
    timeout connect 10s
    timeout client 60s
    timeout server 60s
frontend front
    bind 127.0.0.1:{port} backlog 4096{tls}
    default_backend back
backend back
    server one 127.0.0.1:{BACKEND_PORT}
""")
    return ["haproxy", "-db", "-q", "-f", str(file)], None


COMMANDS = {"longshore": our_command, "nginx": nginx_command, "haproxy": haproxy_command}


@contextlib.contextmanager
def running(command, log, port, stdin=None):
    """A program that listens on a port, until the end of the block."""
    with open(log, "wb") as output:
        process = subprocess.Popen(
            command, stdin=stdin or subprocess.DEVNULL, stdout=output, stderr=output, env={**os.environ, "PATH": path()}
        )
    try:
        deadline = time.monotonic() + READY_SECONDS
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                break
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{command[0]} does not listen on {port}: {log.read_text()}")
            time.sleep(0.05)
        yield
    finally:
        process.terminate()
        process.wait()


def load(port, encrypted, title, connections):
    """Requests per second, and the 99th percentile of latency in milliseconds."""
    address = f"{'https' if encrypted else 'http'}://127.0.0.1:{port}/{title.replace(' ', '')}"
    seconds = SECONDS_LARGE if SIZES[title] > 1 << 16 and connections > 64 else SECONDS
    command = ["wrk", "--threads", "1", "--connections", str(connections), "--timeout", "60s"]
    command += ["--duration", str(seconds), "--latency", address]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    if "Socket errors" in done.stdout or "Non-2xx" in done.stdout:
        raise RuntimeError(f"{' '.join(command)}: {done.stdout}")
    rate = float(re.search(r"Requests/sec:\s+([0-9.]+)", done.stdout).group(1))
    number, unit = re.search(r"99%\s+([0-9.]+)(us|ms|s|m)\b", done.stdout).groups()
    return rate, float(number) * {"us": 0.001, "ms": 1, "s": 1000, "m": 60_000}[unit]
