"""The monolith's SQLite file, which the orders service opens as well.

Law: a change happens inside :meth:`Database.writing` or not at all; for a shadow the same statements run and are
rolled back, so that a shadow's answer is true and its effect is none. Sums of an order are stored when it is booked.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from legacy_stub import data

Row = dict[str, Any]

SCHEMA = """
CREATE TABLE categories (slug TEXT PRIMARY KEY, name TEXT NOT NULL, position INTEGER NOT NULL);
CREATE TABLE products (
    sku TEXT PRIMARY KEY, name TEXT NOT NULL, color TEXT NOT NULL, category TEXT NOT NULL REFERENCES categories (slug),
    price_cents INTEGER NOT NULL, weight_g INTEGER NOT NULL, tags TEXT NOT NULL, description TEXT NOT NULL,
    revision INTEGER NOT NULL, listed_at TEXT NOT NULL
);
CREATE TABLE customers (
    id TEXT PRIMARY KEY, name TEXT NOT NULL, email TEXT NOT NULL UNIQUE, city TEXT NOT NULL, tier TEXT NOT NULL,
    password BLOB NOT NULL
);
CREATE TABLE sessions (id TEXT PRIMARY KEY, customer TEXT REFERENCES customers (id), csrf TEXT NOT NULL);
CREATE TABLE cart_items (
    session TEXT NOT NULL REFERENCES sessions (id) ON UPDATE CASCADE ON DELETE CASCADE, sku TEXT NOT NULL,
    quantity INTEGER NOT NULL, PRIMARY KEY (session, sku)
);
CREATE TABLE orders (
    number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, customer TEXT NOT NULL REFERENCES customers (id),
    status TEXT NOT NULL, created_at TEXT NOT NULL, subtotal_cents INTEGER NOT NULL, shipping_cents INTEGER NOT NULL,
    tax_cents INTEGER NOT NULL, total_cents INTEGER NOT NULL, idempotency_key TEXT UNIQUE
);
CREATE INDEX orders_of_customer ON orders (customer, number);
CREATE TABLE order_items (
    order_id TEXT NOT NULL REFERENCES orders (id), position INTEGER NOT NULL, sku TEXT NOT NULL,
    quantity INTEGER NOT NULL, unit_price_cents INTEGER NOT NULL, PRIMARY KEY (order_id, position)
);
CREATE TABLE order_events (
    number INTEGER PRIMARY KEY AUTOINCREMENT, order_id TEXT NOT NULL, what TEXT NOT NULL, at TEXT NOT NULL
);
CREATE TABLE reviews (
    number INTEGER PRIMARY KEY AUTOINCREMENT, sku TEXT NOT NULL, customer TEXT NOT NULL, rating INTEGER NOT NULL,
    text TEXT NOT NULL, photo_sha256 TEXT, photo_bytes INTEGER NOT NULL, at TEXT NOT NULL
);
"""


class Database:
    """One connection to the shop's file."""

    def __init__(self, path: str) -> None:
        self._connection = sqlite3.connect(path, isolation_level=None)
        self._connection.row_factory = sqlite3.Row
        self._connection.executescript(
            "PRAGMA busy_timeout = 3000; PRAGMA journal_mode = WAL; PRAGMA synchronous = OFF; PRAGMA foreign_keys = ON;"
        )

    def rows(self, sql: str, *values: object) -> list[Row]:
        """All rows of a query."""
        return [dict(row) for row in self._connection.execute(sql, values)]

    def row(self, sql: str, *values: object) -> Row | None:
        """The first row of a query, None without one."""
        found = self._connection.execute(sql, values).fetchone()
        return None if found is None else dict(found)

    def value(self, sql: str, *values: object) -> Any:
        """The first column of the first row; the query must have one."""
        return self._connection.execute(sql, values).fetchone()[0]

    def run(self, sql: str, *values: object) -> int:
        """Execute one change; how many rows it touched."""
        return self._connection.execute(sql, values).rowcount

    @contextmanager
    def writing(self, *, shadow: bool = False) -> Iterator[None]:
        """One transaction, without ``await`` inside. An exception rolls it back, and so does ``shadow``."""
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._connection.execute("ROLLBACK")
            raise
        self._connection.execute("ROLLBACK" if shadow else "COMMIT")

    def close(self) -> None:
        """Let go of the file."""
        self._connection.close()

    def seed(self) -> None:
        """Make the tables and fill them, unless that was done before."""
        if self.row("SELECT 1 FROM sqlite_master WHERE name = 'products'"):
            return
        with self.writing():
            for statement in SCHEMA.split(";"):
                self._connection.execute(statement)
            self._fill()

    def _fill(self) -> None:
        for position, category in enumerate(data.categories()):
            self.run("INSERT INTO categories VALUES (?, ?, ?)", category.slug, category.name, position)
        for product in data.products():
            fields = {**product._asdict(), "tags": json.dumps(product.tags), "listed_at": iso(product.listed_at)}
            self.run("INSERT INTO products VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", *fields.values())
        for customer in data.customers():
            secret = password_digest(customer.id, data.password(customer.id))
            self.run("INSERT INTO customers VALUES (?, ?, ?, ?, ?, ?)", *customer, secret)
        for order in data.orders():
            book_order(self, order)


def iso(at: Any) -> str:
    """A moment as the shop stores it: UTC, whole seconds, ``Z``."""
    return str(at.strftime("%Y-%m-%dT%H:%M:%SZ"))


def password_digest(customer: str, password: str) -> bytes:
    """What is stored of a password. Few rounds: two hundred of them are made at each start of the demo."""
    return hashlib.pbkdf2_hmac("sha256", password.encode(), customer.encode(), 500)


def tax_cents(subtotal_cents: int) -> int:
    """The tax on a sum, rounded half up, as the law of this shop's country wants it."""
    return (subtotal_cents * data.TAX_PERCENT + 50) // 100


def book_order(db: Database, order: data.Order, idempotency_key: str | None = None, tax: int | None = None) -> None:
    """Store an order with its sums and its event; ``tax`` in cents if the caller has its own idea of it."""
    subtotal = sum(item.quantity * item.unit_price_cents for item in order.items)
    shipping = data.shipping_cents(subtotal)
    taxed = tax_cents(subtotal) if tax is None else tax
    db.run(
        "INSERT INTO orders (id, customer, status, created_at, subtotal_cents, shipping_cents, tax_cents, total_cents,"
        " idempotency_key) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        order.id,
        order.customer,
        order.status,
        iso(order.created_at),
        subtotal,
        shipping,
        taxed,
        subtotal + shipping + taxed,
        idempotency_key,
    )
    for position, item in enumerate(order.items):
        db.run("INSERT INTO order_items VALUES (?, ?, ?, ?, ?)", order.id, position, *item)
    record_event(db, order.id, order.status, iso(order.created_at))


def record_event(db: Database, order: str, what: str, at: str) -> None:
    """Tell /events/orders that something happened to an order."""
    db.run("INSERT INTO order_events (order_id, what, at) VALUES (?, ?, ?)", order, what, at)


def next_order_id(db: Database) -> str:
    """The id of the order to be booked; only true inside :meth:`Database.writing`."""
    booked = db.value("SELECT COALESCE(MAX(number), 0) FROM orders")
    return f"O-{10_001 + booked}"
