"""Compiles the traffic path with mypyc, if asked to: ``BANYAN_COMPILE=1``. Everything else is in pyproject.toml.

Law: compiled or not, the sources are the same and so is what they do; ``make test`` runs the traffic path's tests on
both. What is compiled is what every request runs through.
"""

import os

from setuptools import setup

COMPILED = {
    "core": "balance breaker bulkhead coverage deadline decide endpoints fields gate heads identity "
    "request routing snapshot template",
    "wire": "body downstream fiber head outbox pool response upstream",
    "dataplane": "asking capture cells connection exchange forward glimpse pairs prepare read_back request_body "
    "resilience runtime shadow stats upstreams",
}

extensions = []
if os.environ.get("BANYAN_COMPILE") == "1":
    from mypyc.build import mypycify

    files = [f"proxy/{floor}/{name}.py" for floor, names in COMPILED.items() for name in names.split()]
    extensions = mypycify(files, opt_level="3", debug_level="0")

setup(ext_modules=extensions)
