"""`python -m estimator.measure --device cpu`: one fresh process that measures what it is asked to, as JSON lines."""

from __future__ import annotations

import argparse
import json
import os
import sys

from ..runtimes import EAGER
from .worker import serve

if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m estimator.measure", description=__doc__)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--precision", default="fp32")
    parser.add_argument("--runtime", default=EAGER)
    options = parser.parse_args()
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    serve(
        options.device,
        options.precision,
        sys.stdin,
        lambda message: print(json.dumps(message), file=answers),
        options.runtime,
    )
