"""Addresses: ours, or a sentence."""

import socket

import pytest

from proxy.control.addresses import Reservation, join, split
from proxy.errors import BanyanError


def test_port_zero_becomes_a_real_port_that_a_worker_can_share() -> None:
    held = Reservation(["127.0.0.1:0", "127.0.0.1:0"])
    first, second = held.resolved
    assert first != second
    with socket.socket() as worker:
        worker.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        worker.bind(split(first))
        worker.listen()
        with pytest.raises(BanyanError, match="in use by another process"):
            Reservation([first])
    held.close()


def test_failed_reservation_gives_back_what_it_had() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        free = Reservation(["127.0.0.1:0"])
        address = free.resolved[0]
        free.close()
        with pytest.raises(BanyanError):
            Reservation([address, join(*taken.getsockname())])
        Reservation([address]).close()


@pytest.mark.parametrize(
    ("address", "words"),
    [("192.0.2.1:8080", "does not have that address"), ("no-such-host.invalid:80", "the host is not known")],
)
def test_address_that_cannot_be_had_is_said_in_words(address: str, words: str) -> None:
    with pytest.raises(BanyanError, match=words):
        Reservation([address])


@pytest.mark.parametrize("address", ["127.0.0.1:80", "[::1]:8080", "shop.example:1"])
def test_split_and_join_are_inverse(address: str) -> None:
    assert join(*split(address)) == address
