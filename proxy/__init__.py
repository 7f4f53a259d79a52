"""Banyan: a strangler-fig migration proxy.

Floors, from the bottom; imports go down only (``tests/test_floors.py`` holds it)::

    errors, messages < config.model < core, compare < config < wire, store, telemetry
                     < dataplane < control < web < cli
"""

__version__ = "0.1.0"
