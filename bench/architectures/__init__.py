"""Models that people run, called as their users call them: small ones of each kind, with weights, built offline.

Importing this needs torch alone; `Architecture.build` imports the library that it takes the model from.
"""

from __future__ import annotations

from typing import Tuple

from .architecture import Architecture
from .diffusion import DIFFUSERS
from .others import CLIP, DETECTION, FEATURES, GRAPHS, SEGMENTATION
from .transformers_text import DECODERS, ENCODER_DECODERS, ENCODERS
from .transformers_vision import SERIES, SEVERAL, SOUND, VISION
from .ultralytics import ULTRALYTICS

ARCHITECTURES: Tuple[Architecture, ...] = (
    *ENCODERS,
    *DECODERS,
    *ENCODER_DECODERS,
    *VISION,
    *SOUND,
    *SERIES,
    *SEVERAL,
    *ULTRALYTICS,
    *DIFFUSERS,
    *SEGMENTATION,
    *CLIP,
    *GRAPHS,
    *FEATURES,
    *DETECTION,
)


def architectures(library: str) -> Tuple[Architecture, ...]:
    """Returns the architectures of a library, which is called as it is imported."""
    return tuple(one for one in ARCHITECTURES if one.library == library)
