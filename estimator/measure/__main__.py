"""`python -m estimator.measure --device cpu`: one fresh process that measures what it is asked to, as JSON lines."""

from __future__ import annotations

import sys

from .worker import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
