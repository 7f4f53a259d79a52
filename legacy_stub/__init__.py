"""The demo's world: a shop monolith, two services that take over parts of it, and the shop's customers."""
