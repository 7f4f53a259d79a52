"""Programs that people have at hand, against the shop behind Banyan: curl and Node."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from behind import BIG, FILE_BYTES, PRODUCT, SKU, Readme, Shop, digest, login_form

from legacy_stub import data

NODE = Path(__file__).parent / "node"


# -- curl ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def curl(needs: Callable[[str], str]) -> Callable[..., bytes]:
    program = needs("curl")

    def run(*options: str, stdin: bytes = b"", code: int = 0) -> bytes:
        """What curl prints on standard output, and on standard error if it is verbose."""
        done = subprocess.run(
            [program, "--disable", "--silent", "--show-error", "--max-time", "20", "--noproxy", "*", *options],
            input=stdin, capture_output=True, timeout=30,
        )  # fmt: skip
        assert done.returncode == code, done.stderr.decode()
        return done.stdout + done.stderr

    return run


def test_curl_head_ends_at_the_head(shop: Shop, curl: Callable[..., bytes]) -> None:
    seen = curl("--head", shop.url + PRODUCT, shop.url + "/")
    assert seen.count(b"HTTP/1.1 200 OK\r\n") == 2
    assert b"Content-Length: " in seen


def test_curl_uploads_a_file_after_100_continue(echoing: Readme, tmp_path: Path, curl: Callable[..., bytes]) -> None:
    (tmp_path / "big").write_bytes(BIG)
    wait = ("--verbose", "--expect100-timeout", "15", "--header", "Expect: 100-continue")
    seen = curl(*wait, "--upload-file", str(tmp_path / "big"), "--output", str(tmp_path / "back"), echoing.url + "/up")
    assert b"< HTTP/1.1 100 Continue" in seen
    assert b"X-Framing: %d" % len(BIG) in seen
    assert digest((tmp_path / "back").read_bytes()) == digest(BIG)


def test_curl_sees_an_early_refusal(echoing: Readme, tmp_path: Path, curl: Callable[..., bytes]) -> None:
    (tmp_path / "big").write_bytes(BIG)
    wait = ("--expect100-timeout", "15", "--header", "Expect: 100-continue")
    seen = curl("--include", *wait, "--upload-file", str(tmp_path / "big"), echoing.url + "/refuse")
    assert seen.startswith(b"HTTP/1.1 413 ")
    assert seen.endswith(b"too much\n")


def test_curl_uploads_in_chunks(echoing: Readme, tmp_path: Path, curl: Callable[..., bytes]) -> None:
    chunked = ("--header", "Transfer-Encoding: chunked", "--upload-file", "-")
    seen = curl("--dump-header", str(tmp_path / "head"), *chunked, echoing.url + "/up", stdin=BIG)
    assert digest(seen) == digest(BIG)
    assert b"X-Framing: chunked" in (tmp_path / "head").read_bytes()


@pytest.mark.parametrize("path", ["/", "/api/products?per_page=100", PRODUCT, f"/images/{SKU}.png"])
def test_curl_speaks_http_1_0(shop: Shop, curl: Callable[..., bytes], path: str) -> None:
    head, _, body = curl("--http1.0", "--include", shop.url + path).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK")
    assert b"chunked" not in head.lower()
    assert b"connection: close" in head.lower()
    assert body


def test_curl_gets_a_body_that_ends_with_the_connection_over_http_1_0(
    echoing: Readme, curl: Callable[..., bytes]
) -> None:
    seen = curl("--http1.0", "--include", "--header", "Expect:", "--data-binary", "@-", echoing.url + "/a", stdin=BIG)
    head, _, body = seen.partition(b"\r\n\r\n")
    assert b"Transfer-Encoding" not in head
    assert digest(body) == digest(BIG)


def test_curl_asks_for_ranges(echoing: Readme, curl: Callable[..., bytes]) -> None:
    seen = curl("--include", "--range", "10-19", echoing.url + "/file")
    head, _, body = seen.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 206 Partial Content")
    assert f"Content-Range: bytes 10-19/{FILE_BYTES}".encode() in head
    assert body == bytes(i * 7 % 251 for i in range(10, 20))
    assert curl("--include", "--range", f"{FILE_BYTES}-", echoing.url + "/file").startswith(b"HTTP/1.1 416 ")


def test_curl_continues_a_download(echoing: Readme, tmp_path: Path, curl: Callable[..., bytes]) -> None:
    whole = curl(echoing.url + "/file")
    part = tmp_path / "part"
    part.write_bytes(whole[:1234])
    curl("--continue-at", "-", "--output", str(part), echoing.url + "/file")
    assert part.read_bytes() == whole


def test_curl_holds_an_etag_and_gets_304(shop: Shop, tmp_path: Path, curl: Callable[..., bytes]) -> None:
    held, url = str(tmp_path / "etag"), f"{shop.url}/images/{SKU}.png"
    assert curl("--etag-save", held, url).startswith(b"\x89PNG")
    seen = curl("--include", "--etag-compare", held, url)
    assert seen.startswith(b"HTTP/1.1 304 Not Modified")
    assert seen.endswith(b"\r\n\r\n")


def test_curl_sends_a_form(shop: Shop, tmp_path: Path, curl: Callable[..., bytes]) -> None:
    jar = ("--cookie", str(tmp_path / "jar"), "--cookie-jar", str(tmp_path / "jar"))
    filled = login_form(curl(*jar, shop.url + "/login").decode(), 13)
    fields = [word for name, value in filled.items() for word in ("--data-urlencode", f"{name}={value}")]
    assert b"Hello, " in curl(*jar, "--location", *fields, shop.url + "/login")
    quote = json.dumps({"items": [{"sku": SKU, "quantity": 2}]})
    seen = curl(*jar, "-d", quote, "-H", "Content-Type: application/json", shop.url + "/api/orders/quote")
    assert json.loads(seen)["currency"] == "EUR"
    photo = tmp_path / "photo.jpg"
    photo.write_bytes(BIG[:40_000])
    sent = ("--form", "rating=5", "--form", f"photo=@{photo}")
    assert json.loads(curl(*jar, *sent, f"{shop.url}{PRODUCT}/reviews"))["photo_bytes"] == 40_000


def test_curl_decompresses(shop: Shop, curl: Callable[..., bytes]) -> None:
    seen = curl("--compressed", shop.url + "/api/products?per_page=100")
    assert len(json.loads(seen)["products"]) == 100


def test_curl_uses_one_connection_for_many_requests(shop: Shop, curl: Callable[..., bytes]) -> None:
    urls = [f"{shop.url}/images/{product.sku}.svg" for product in data.products()[:20]]
    seen = curl("--verbose", *urls)
    assert seen.count(b"HTTP/1.1 200 OK") == 20
    assert seen.count(b"* Connected to ") == 1


# -- Node ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def node(needs: Callable[[str], str]) -> Callable[..., Any]:
    program = needs("node")
    version = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=20).stdout
    if int(version.removeprefix("v").partition(".")[0]) < 18:
        pytest.skip(f"node {version.strip()} has no fetch")

    def run(script: str, *arguments: str) -> Any:
        """What the script prints, which is one JSON value."""
        done = subprocess.run([program, str(NODE / script), *arguments], capture_output=True, text=True, timeout=40)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return run


def test_node_fetch_shops(shop: Shop, node: Callable[..., Any]) -> None:
    assert node("shop.mjs", shop.url, SKU) == {
        "home": [200, "text/html; charset=utf-8"], "redirected": f"/products/{SKU}", "login": [303, "/account"],
        "cart": 201, "order": 201, "bought": 2, "review": [201, 100_000], "gzip": 100, "head": [200, 0],
        "missing": 404, "etag": 304, "logout": 303,
    }  # fmt: skip


def test_node_streams_a_body_both_ways(echoing: Readme, node: Callable[..., Any]) -> None:
    seen = node("stream.mjs", echoing.url)
    assert seen["framing"] == "chunked"
    assert seen["received"] == seen["sent"]


def test_node_agent_keeps_its_connection(shop: Shop, node: Callable[..., Any]) -> None:
    assert node("agent.mjs", shop.url, SKU) == {"statuses": [200] * 20, "connections": 1}
