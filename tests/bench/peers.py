"""The origin and the proxies under test: their configuration, how each is started, and which processes do its work.

Law: every proxy is configured as somebody would in production: keep-alive to the origin, timeouts on, forwarded
headers on, no access log. They differ only in what they are. Each proxies ``/plain/…`` to one origin, and
``/shadow/…`` to another one with a copy of every request to the first, if it can do that.
"""

from __future__ import annotations

import dataclasses
import http.client
import os
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.bench import install, procs
from tests.ports import free_port

SIZES = {"112": 112, "10k": 10_000, "1m": 1024 * 1024}
MANY = 1_000_000
"""Requests per connection: the usual default of 1,000 would measure reconnecting."""


@dataclass(frozen=True)
class Origin:
    """Both origins are one nginx with two ports; ``status`` counts the requests of both."""

    legacy: int
    candidate: int
    pid: int = 0

    def pin(self, cores: list[int]) -> None:
        """Move it to these cores."""
        for pid in (self.pid, *procs.descendants(self.pid)):
            procs.pin(pid, cores)


@dataclass
class Proxy:
    """A proxy that runs. ``workers`` are the processes that carry traffic."""

    name: str
    port: int
    child: subprocess.Popen[bytes]
    workers: list[int]
    admin: int = 0


def body(size: int) -> bytes:
    """A JSON document of exactly this many bytes."""
    if size <= 200:
        head, tail = b'{"id":4711,"name":"banyan","price":12.5,"tags":["fig","tree"],"note":"', b'"}'
        return head + b"x" * (size - len(head) - len(tail)) + tail
    item = b'{"id":4711,"name":"strangler fig","price":12.5,"in_stock":true},'
    head, tail = b'{"items":[', b'{"id":0}],"note":"%s"}'
    count = (size - len(head) - len(tail)) // len(item)
    filler = size - len(head) - count * len(item) - len(tail) + 2
    return head + item * count + tail % (b"x" * filler)


def start_origin(processes: procs.Processes, cores: list[int]) -> Origin:
    """nginx with the answers in a folder in memory. Raises RuntimeError when it does not come up."""
    origin = Origin(free_port(), free_port())
    folder = processes.folder
    for name, size in SIZES.items():
        (folder / f"body-{name}").write_bytes(body(size))
    small = body(SIZES["112"]).decode()
    locations = "".join(
        f"location = /{kind}/112 {{ return 200 '{small}'; }}\n"
        f"location = /{kind}/10k {{ alias {folder}/body-10k; }}\n"
        f"location = /{kind}/1m {{ alias {folder}/body-1m; }}\n"
        for kind in ("plain", "shadow")
    )
    config = _nginx_frame(
        folder,
        "origin",
        workers=min(2, len(cores)),
        http=f"""
        default_type application/json;
        open_file_cache max=100 inactive=1h; open_file_cache_valid 1h; open_file_cache_min_uses 1;
        server {{
            listen 127.0.0.1:{origin.legacy} backlog=4096; listen 127.0.0.1:{origin.candidate} backlog=4096;
            location = /status {{ stub_status; }}
            {locations}
        }}""",
    )
    binary = install.find("nginx")
    if binary is None:
        raise RuntimeError("the origin is nginx, and it is not installed here")
    child = processes.start("origin", [binary, "-c", str(config), "-p", str(folder), "-e", "stderr"], cores)
    if not procs.wait_until(lambda: fetch(origin.legacy, "/plain/112") is not None, 10):
        raise RuntimeError(f"the origin did not start: {processes.log_tail('origin')}")
    return dataclasses.replace(origin, pid=child.pid)


def requests_seen(origin: Origin) -> int:
    """Requests that the origin has answered on both ports, this question included."""
    text = (fetch(origin.legacy, "/status") or b"").decode().split()
    return int(text[9]) if len(text) > 9 else 0


def start_proxy(name: str, processes: procs.Processes, origin: Origin, cores: list[int], workers: int = 1) -> Proxy:
    """Start a proxy with its workers on these cores. Raises RuntimeError when it does not serve within 20 s."""
    binary = install.find(name)
    if binary is None:
        raise RuntimeError(f"{name} is not installed here")
    port, admin = free_port(), free_port()
    label = f"{name}-{port}"
    argv = _COMMANDS[name](binary, processes.folder, port, admin, origin, workers)
    # Banyan's supervisor and comparator are not the data plane: they stay with the load, only its workers move.
    outside = sorted(os.sched_getaffinity(0)) if name == "banyan" else cores
    child = processes.start(label, argv, outside)
    proxy = Proxy(name, port, child, [], admin)

    def ready() -> bool:
        if child.poll() is not None:
            return True
        proxy.workers = workers_of(proxy)
        return len(proxy.workers) >= (workers if name in ("banyan", "nginx") else 1) and fetch(port, "/plain/112") == (
            body(SIZES["112"])
        )

    if not procs.wait_until(ready, 20) or child.poll() is not None:
        tail = processes.log_tail(label)
        processes.stop(child)
        raise RuntimeError(f"{name} did not start: {tail or 'it printed nothing'}")
    if name in ("banyan", "nginx") and len(cores) == workers:
        for worker, core in zip(proxy.workers, cores, strict=False):
            procs.pin(worker, [core])
    else:
        for worker in proxy.workers:
            procs.pin(worker, cores)
    return proxy


def workers_of(proxy: Proxy) -> list[int]:
    """The processes that carry traffic."""
    marks = {"banyan": "proxy.dataplane.worker", "nginx": "worker process"}
    if proxy.name not in marks:
        return [proxy.child.pid]
    return [pid for pid in procs.descendants(proxy.child.pid) if marks[proxy.name] in procs.command_line(pid)]


def fetch(port: int, path: str) -> bytes | None:
    """The body of a 200 answer, or None."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        data = answer.read()
        return data if answer.status == 200 else None
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()


def _banyan(binary: str, folder: Path, port: int, admin: int, origin: Origin, workers: int) -> list[str]:
    config = folder / f"banyan-{port}.yaml"
    config.write_text(f"""\
version: 1
listen: 127.0.0.1:{port}
admin: {{listen: "127.0.0.1:{admin}"}}
store: sqlite:///{folder}/banyan-{port}.db
shutdown: {{drain_delay: 0s, grace: 1s}}
upstreams:
  monolith: {{endpoints: ["http://127.0.0.1:{origin.legacy}"]}}
  service: {{endpoints: ["http://127.0.0.1:{origin.candidate}"]}}
legacy: monolith
routes:
  - id: plain
    match: {{path_prefix: /plain}}
    candidate: service
    stage: live
    shadow: {{sample: 0%}}
  - id: shadow
    match: {{path_prefix: /shadow}}
    candidate: service
    stage: shadow
    shadow: {{sample: 100%, max_in_flight: 1000}}
""")
    return [binary, "run", str(config), "--workers", str(workers)]


def _envoy(binary: str, folder: Path, port: int, admin: int, origin: Origin, workers: int) -> list[str]:
    def cluster(name: str, upstream: int) -> str:
        return f"""
  - name: {name}
    type: STATIC
    connect_timeout: 1s
    load_assignment:
      cluster_name: {name}
      endpoints:
      - lb_endpoints:
        - endpoint: {{address: {{socket_address: {{address: 127.0.0.1, port_value: {upstream}}}}}}}"""

    config = folder / f"envoy-{port}.yaml"
    kind = "type.googleapis.com/envoy.extensions.filters"
    config.write_text(f"""\
static_resources:
  listeners:
  - address: {{socket_address: {{address: 127.0.0.1, port_value: {port}}}}}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": {kind}.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: ingress
          use_remote_address: true
          common_http_protocol_options: {{idle_timeout: 75s}}
          request_headers_timeout: 10s
          http_filters:
          - name: envoy.filters.http.router
            typed_config: {{"@type": {kind}.http.router.v3.Router}}
          route_config:
            virtual_hosts:
            - name: all
              domains: ["*"]
              routes:
              - match: {{prefix: /shadow}}
                route: {{cluster: monolith, timeout: 60s, request_mirror_policies: [{{cluster: service}}]}}
              - match: {{prefix: /}}
                route: {{cluster: service, timeout: 60s}}
  clusters:{cluster("monolith", origin.legacy)}{cluster("service", origin.candidate)}
""")
    return [binary, "-c", str(config), "--disable-hot-restart", "--concurrency", str(workers), "-l", "warning"]


def _nginx(binary: str, folder: Path, port: int, admin: int, origin: Origin, workers: int) -> list[str]:
    def upstream(name: str, target: int) -> str:
        return f"upstream {name} {{ server 127.0.0.1:{target}; keepalive 128; keepalive_requests {MANY}; }}\n"

    config = _nginx_frame(
        folder,
        f"nginx-{port}",
        workers=workers,
        http=f"""
        {upstream("monolith", origin.legacy)}{upstream("service", origin.candidate)}
        proxy_http_version 1.1;
        proxy_set_header Connection "";
        proxy_set_header Host $http_host;
        proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
        proxy_set_header X-Forwarded-Proto $scheme;
        proxy_set_header X-Request-ID $request_id;
        proxy_connect_timeout 1s; proxy_read_timeout 10s; proxy_max_temp_file_size 0;
        server {{
            listen 127.0.0.1:{port} backlog=4096 {"reuseport" if workers > 1 else ""};
            location /shadow {{ mirror /copy; proxy_pass http://monolith; }}
            location = /copy {{ internal; proxy_pass http://service$request_uri; }}
            location / {{ proxy_pass http://service; }}
        }}""",
    )
    return [binary, "-c", str(config), "-p", str(folder), "-e", "stderr"]


def _haproxy(binary: str, folder: Path, port: int, admin: int, origin: Origin, workers: int) -> list[str]:
    config = folder / f"haproxy-{port}.cfg"
    config.write_text(f"""\
global
    maxconn 4000
    nbthread {workers}
defaults
    mode http
    option forwardfor
    timeout connect 1s
    timeout client 60s
    timeout server 60s
    timeout http-request 10s
    timeout http-keep-alive 75s
frontend all
    bind 127.0.0.1:{port} backlog 4096
    unique-id-format %[uuid()]
    unique-id-header X-Request-ID
    default_backend service
backend service
    http-reuse safe
    server one 127.0.0.1:{origin.candidate}
""")
    return [binary, "-db", "-f", str(config)]


def _nginx_frame(folder: Path, name: str, workers: int, http: str) -> Path:
    temporary = " ".join(
        f"{kind}_temp_path {folder}/temp-{name}-{kind};"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    config = folder / f"{name}.conf"
    config.write_text(f"""\
{"user root;" if os.geteuid() == 0 else ""}
daemon off;
worker_processes {workers};
pid {folder}/{name}.pid;
error_log stderr warn;
events {{ worker_connections 16000; }}
http {{
    access_log off; sendfile on; tcp_nopush on; tcp_nodelay on;
    keepalive_timeout 75s; keepalive_requests {MANY};
    {temporary}
    {http}
}}
""")
    return config


_COMMANDS: dict[str, Callable[[str, Path, int, int, Origin, int], list[str]]] = {
    "banyan": _banyan,
    "envoy": _envoy,
    "nginx": _nginx,
    "haproxy": _haproxy,
}
NAMES = tuple(_COMMANDS)
MIRRORS = ("banyan", "envoy", "nginx")
"""HAProxy cannot copy requests by itself."""
