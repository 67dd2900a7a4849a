"""The software that constants were fitted with, by name and version, and how that of another machine differs."""

from __future__ import annotations

import re
from typing import Dict, Iterable, List, Mapping, Optional, Tuple

SOFTWARE: Mapping[str, str] = {
    "jetpack": "JetPack",
    "l4t": "Jetson Linux",
    "driver": "driver",
    "python": "Python",
    "torch": "torch",
    "torchvision": "torchvision",
    "cuda": "CUDA",
    "cudnn": "cuDNN",
}
"""What decides an op's cost and has a version, by its key in a profile: its name in text."""
_VERSION = r"(\d[\w.+]*)"
_STATED: Mapping[str, str] = {
    "jetpack": rf"JetPack {_VERSION}",
    "l4t": r"R(\d+) \(release\), REVISION: ([\d.]+)",
    "driver": rf"Kernel Module(?: for \w+)? +{_VERSION}",
    "python": rf"Python {_VERSION}",
    "torch": rf"(?:PyTorch|\btorch) {_VERSION}",
    "torchvision": rf"torchvision {_VERSION}",
    "cuda": rf"\bcuda {_VERSION}",
    "cudnn": rf"\bcudnn {_VERSION}",
}
"""How a record's provenance states each; Jetson Linux and driver as their own files do."""
_JETPACKS = {"32": "4", "34": "5", "35": "5", "36": "6", "38": "7"}
"""By release of Jetson Linux; NVIDIA's Jetson Linux archive."""
_COMPARED = 2  # numbers of a version: a patch release is the same software
_COMPARED_OF = {"driver": 1}  # its branch


def software_in(text: str) -> Dict[str, str]:
    """Returns the versions that a provenance's `software` states, by the keys of SOFTWARE."""
    found = {key: re.search(pattern, text, re.IGNORECASE) for key, pattern in _STATED.items()}
    stated = {key: ".".join(match.groups()).rstrip(".") for key, match in found.items() if match}
    release = stated.get("l4t", "").split(".")[0]
    if "jetpack" not in stated and release in _JETPACKS:
        stated = {"jetpack": _JETPACKS[release], **stated}
    return stated


def differing(fitted_with: Mapping[str, str], here: Mapping[str, str]) -> Tuple[str, ...]:
    """Returns the keys whose versions differ, as far as both sides state them, in the order of SOFTWARE."""
    both = [key for key in SOFTWARE if key in fitted_with and key in here]
    return tuple(key for key in both if not _agree(key, fitted_with[key], here[key]))


def is_same(fitted_with: Mapping[str, str], here: Mapping[str, str]) -> Optional[bool]:
    """Returns whether no version differs; None where there is none that both sides state."""
    if not set(fitted_with) & set(here):
        return None
    return not differing(fitted_with, here)


def software_text(software: Mapping[str, str], keys: Iterable[str] = tuple(SOFTWARE)) -> str:
    """Returns "JetPack 5.1, torch 2.1.0" of the versions that are stated."""
    return ", ".join(f"{SOFTWARE[key]} {software[key]}" for key in keys if key in software)


def _agree(key: str, one: str, other: str) -> bool:
    """Release numbers as far as both state them; builds ("cu121", "nv23.06") only where both state one."""
    (numbers, build), (other_numbers, other_build) = _parts(one), _parts(other)
    compared = _COMPARED_OF.get(key, _COMPARED)
    same_build = not build or not other_build or build == other_build
    return same_build and all(a == b for a, b in zip(numbers[:compared], other_numbers))


def _parts(version: str) -> Tuple[List[str], List[str]]:
    """The numbers of the release, and what the build is made of: "2.1.0a0+nv23.06" is 2, 1, 0 and nv23, 6."""
    release, _, build = version.partition("+")
    numbers = re.split(r"[^\d.]", release)[0]
    parts = re.findall(r"[a-z0-9]+", build.lower())
    return re.findall(r"\d+", numbers), [part.lstrip("0") for part in parts]
