"""Bytes on sockets: HTTP/1.1 towards clients and upstreams, and messages between processes."""
