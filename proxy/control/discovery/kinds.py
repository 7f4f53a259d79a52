"""Which source a configuration means."""

from __future__ import annotations

from proxy.config.upstreams import Discovery
from proxy.control.discovery.consul import ConsulSource
from proxy.control.discovery.dns import DnsSource, SrvSource
from proxy.control.discovery.kubernetes import KubernetesSource
from proxy.control.discovery.source import Source
from proxy.control.names import Names


def source_of(config: Discovery, names: Names) -> tuple[str, Source]:
    """The source and what people call it, like ``dns orders.example``."""
    if config.dns is not None:
        return f"dns {config.dns.name}", DnsSource(config.dns, names)
    if config.srv is not None:
        return f"srv {config.srv.name}", SrvSource(config.srv, names)
    if config.consul is not None:
        return f"consul {config.consul.service}", ConsulSource(config.consul, names)
    if config.kubernetes is not None:
        return f"kubernetes {config.kubernetes.namespace}/{config.kubernetes.service}", KubernetesSource(
            config.kubernetes, names
        )
    raise AssertionError("the model lets exactly one through")
