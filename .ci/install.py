#!/usr/bin/env python3
"""tox's install_command: pip, but torch is unpacked once for all environments of a Python.

It is most of what an environment takes: a gigabyte, five with CUDA's libraries. The pinned torch goes into a folder
beside the environments, and a `.pth` file lets each of them see it, as on a Jetson they see the system's.
"""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path
from typing import Sequence

PIP = (sys.executable, "-I", "-m", "pip", "install", "--no-compile")  # most of torch's modules are never imported


def main(work_dir: str, *arguments: str) -> int:
    """Installs what pip's arguments name into the environment that runs this; returns pip's exit code."""
    torch = [text for text in arguments if re.match("torch(vision)?==", text)]
    if torch:
        library = sysconfig.get_path("purelib", vars={"base": str(_unpacked(Path(work_dir), torch))})
        Path(sysconfig.get_path("purelib"), "torch.pth").write_text(f"{library}\n", encoding="utf-8")
    others = [text for text in arguments if text not in torch]
    return subprocess.call([*PIP, *others]) if others else 0


def _unpacked(work_dir: Path, packages: Sequence[str]) -> Path:
    """Returns the folder with these packages and what they require."""
    digest = hashlib.sha256("\n".join((sys.version, *sorted(packages))).encode()).hexdigest()
    folder = work_dir / f"torch-{sysconfig.get_python_version()}-{digest[:8]}"
    if not folder.exists():
        with tempfile.TemporaryDirectory(dir=work_dir) as made:
            os.mkdir(f"{made}/torch")  # pip makes none where no release is pinned for this Python
            subprocess.check_call([*PIP, "--ignore-installed", "--prefix", f"{made}/torch", *packages])
            if not folder.exists():  # by another environment that is made at the same time
                os.rename(f"{made}/torch", folder)  # whole or not at all
    return folder


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
