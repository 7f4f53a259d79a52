"""A name server that answers as it is told, also as none should."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset


class ScriptedDns(asyncio.DatagramProtocol):
    """``says["A orders.test"]`` is a list of records, an rcode's name, or bytes sent as they are; else NXDOMAIN."""

    def __init__(self) -> None:
        self.says: dict[str, list[str] | str | bytes] = {}
        self.ttl = 60
        self.address = ""
        self._transport: Any = None

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        question = dns.message.from_wire(data)
        asked = question.question[0]
        kind = dns.rdatatype.to_text(asked.rdtype)
        say = self.says.get(f"{kind} {asked.name.to_text(omit_final_dot=True)}", "NXDOMAIN")
        if isinstance(say, bytes):
            self._transport.sendto(say, addr)
            return
        answer = dns.message.make_response(question, recursion_available=True)
        if isinstance(say, str):
            answer.set_rcode(dns.rcode.from_text(say))
        elif say:
            answer.answer.append(dns.rrset.from_text(asked.name, self.ttl, "IN", kind, *say))
        self._transport.sendto(answer.to_wire(), addr)


@asynccontextmanager
async def scripted_dns() -> AsyncIterator[ScriptedDns]:
    """Serve on a free port of the loopback address."""
    loop = asyncio.get_running_loop()
    transport, server = await loop.create_datagram_endpoint(ScriptedDns, local_addr=("127.0.0.1", 0))
    server.address = f"127.0.0.1:{transport.get_extra_info('sockname')[1]}"
    try:
        yield server
    finally:
        transport.close()
