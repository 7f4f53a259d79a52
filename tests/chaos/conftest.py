"""The programs of this folder are a package below the root, from where ``python -m tests.chaos`` runs them."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))
