"""The shop's seed data.

Law: pure and deterministic. Two processes that call these functions hold equal data, which is what makes comparing
the monolith with a service that was filled from an export of it meaningful. Money is in euro cents.
"""

from __future__ import annotations

import hashlib
import random
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

CUSTOMERS = 200
ORDERS = 1200
OPENED = datetime(2025, 1, 6, 8, 0, tzinfo=UTC)
"""When the shop took its first order."""
GIFT_CARD = "GFT-1000"
"""The only product without weight: the monolith's product page divides by it."""
TAX_PERCENT = 19


class Category(NamedTuple):
    """A shelf of the shop."""

    slug: str
    name: str


class Product(NamedTuple):
    """Something to buy. Colour variants share a name and differ in ``sku``."""

    sku: str
    name: str
    color: str
    category: str
    price_cents: int
    weight_g: int
    tags: tuple[str, ...]
    description: str
    revision: int  # counts the edits; it is the product's ETag
    listed_at: datetime


class Customer(NamedTuple):
    """Somebody who buys. ``id`` is ``u-1`` and so on."""

    id: str
    name: str
    email: str
    city: str
    tier: str


class OrderItem(NamedTuple):
    """One line of an order; the price is the one of that day."""

    sku: str
    quantity: int
    unit_price_cents: int


class Order(NamedTuple):
    """An order. Sums are not here: they are the business of whoever books it."""

    id: str
    customer: str
    status: str
    created_at: datetime
    items: tuple[OrderItem, ...]


_CATEGORIES = {
    "KIT": ("kitchen", "Kitchen", ("Mug", "Teapot", "Cutting Board", "Bread Box", "Pepper Mill")),
    "LIT": ("lighting", "Lighting", ("Desk Lamp", "Floor Lamp", "Lantern", "Candle Holder")),
    "OFF": ("office", "Office", ("Notebook", "Pen Tray", "Desk Organiser", "Book End")),
    "GAR": ("garden", "Garden", ("Watering Can", "Planter", "Trowel", "Bird House")),
    "BED": ("bedroom", "Bedroom", ("Blanket", "Pillow", "Alarm Clock", "Laundry Basket")),
}
_STYLES = ("Oak", "Classic", "Nordic", "Terracotta")
_COLORS = ("natural", "black", "white", "moss")
_TAGS = ("handmade", "gift", "sale", "new", "durable", "recycled", "vegan", "limited")
_CENTS = (0, 50, 90, 95, 99)
_FIRST = ("Ada", "Ben", "Chiara", "Deniz", "Elin", "Farid", "Greta", "Hugo", "Ines", "Jonas", "Käthe", "Łucja")
_LAST = ("Aalto", "Bauer", "Costa", "Demir", "Eriksen", "Fabre", "García", "Hansen", "Ivanova", "Jansen", "Kowal")
_CITIES = ("Bremen", "Lyon", "Porto", "Gdańsk", "Malmö", "Graz", "Utrecht")
_STATUSES = ("paid", "packed", "shipped", "delivered", "cancelled")


def categories() -> list[Category]:
    """All shelves, the one for gift cards last."""
    shelves = [Category(slug, name) for slug, name, _ in _CATEGORIES.values()]
    return [*shelves, Category("gifts", "Gift cards & vouchers")]


def products() -> list[Product]:
    """All products in the order of their listing, which is not the order of their SKUs."""
    dice = random.Random(1)
    found: list[Product] = []
    for prefix, (slug, _, things) in _CATEGORIES.items():
        number = 1000
        for thing in things:
            for style in dice.sample(_STYLES, 3):
                euros = dice.randint(4, 120)
                for color in dice.sample(_COLORS, dice.randint(1, 4)):
                    number += dice.randint(1, 9)
                    found.append(
                        Product(
                            sku=f"{prefix}-{number}",
                            name=f"{style} {thing}",
                            color=color,
                            category=slug,
                            price_cents=euros * 100 + dice.choice(_CENTS),
                            weight_g=dice.randrange(40, 4000, 10),
                            tags=tuple(sorted(dice.sample(_TAGS, dice.randint(2, 4)))),
                            description=f"A {color} {thing.lower()} in our {style.lower()} series — made to last.",
                            revision=dice.randint(1, 7),
                            listed_at=OPENED + timedelta(minutes=dice.randint(0, 200_000)),
                        )
                    )
    card = "Treat somebody: redeemable for everything in the shop."
    found.append(Product(GIFT_CARD, "Gift Card", "green", "gifts", 2500, 0, ("gift", "new"), card, 1, OPENED))
    return sorted(found, key=lambda product: (product.listed_at, product.sku))


def customers() -> list[Customer]:
    """The customers ``u-1`` … ``u-200``."""
    dice = random.Random(2)
    found = []
    for number in range(1, CUSTOMERS + 1):
        name = f"{dice.choice(_FIRST)} {dice.choice(_LAST)}"
        tier = "gold" if number % 10 == 0 else "standard"
        found.append(Customer(f"u-{number}", name, f"user{number}@shop.example", dice.choice(_CITIES), tier))
    return found


def password(customer: str) -> str:
    """What a customer types at the login; this shop exists only in the demo."""
    return f"correct horse {customer}"


def orders() -> list[Order]:
    """Past orders, oldest first; every customer has some."""
    dice = random.Random(3)
    shelf = products()
    found = []
    at = OPENED
    for number in range(ORDERS):
        at += timedelta(seconds=dice.randint(300, 20_000))
        lines = [
            OrderItem(product.sku, dice.choice((1, 1, 1, 2, 3)), product.price_cents)
            for product in dice.sample(shelf, dice.choice((1, 2, 3, 4, 5)))
        ]
        customer = f"u-{number % CUSTOMERS + 1}"
        found.append(Order(f"O-{10_001 + number}", customer, dice.choice(_STATUSES), at, tuple(lines)))
    return found


def shipping_cents(subtotal_cents: int) -> int:
    """What delivery costs: nothing from 50 euros on."""
    return 0 if subtotal_cents >= 5000 else 490


def tracking_code(order: str) -> str:
    """The carrier's code of a parcel; the carrier derives it from the order, and so does everybody else."""
    return "BX" + hashlib.sha256(order.encode()).hexdigest()[:12].upper()
