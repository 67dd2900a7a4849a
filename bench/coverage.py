"""The tables of docs/coverage.md: which architectures are estimated, which are refused and why, and what that costs.

All of torchvision's, and forty of timm's, without weights: `python -m bench.documents --coverage` writes them, and
`tox -e timm` holds them; the tests of the suite itself hold a spread of torchvision's.
"""

from __future__ import annotations

import inspect
import json
import os
import platform
import resource
import subprocess
import sys
import time
import warnings
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable, Dict, Iterable, Iterator, List, Mapping, Optional, Tuple

from estimator import CaptureError, estimate  # before torchvision: makes its import work where its extension is missing
from estimator.files import read_text

if TYPE_CHECKING:
    import torch

MOST_DEFAULTED_PCT = 1.0
"""What all ops without a rule may take of a model's device time, together."""
_DETECTION_PX, _FLOW_PX = 320, 128
_INPUT_PX: Mapping[str, int] = {"inception_v3": 299, "quantized_inception_v3": 299}
_FRAMES: Mapping[str, Tuple[int, int]] = {"mvit": (16, 224), "swin3d": (16, 224), "s3d": (64, 224)}
"""Frames and pixels of the video models that take others than 16 frames of 112 x 112."""
_TIMM_KINDS: Mapping[str, str] = {
    "CNN": (
        "resnetv2_50 seresnext50_32x4d res2net50_14w_8s resnest26d skresnet34 densenet121 dla60 dpn68 "
        "hrnet_w18 nfnet_l0 regnety_032 inception_v4 xception65 nasnetalarge vovnet39a convnext_tiny "
        "convnextv2_tiny inception_next_tiny"
    ),
    "mobile": "ghostnet_100 mobilenetv4_conv_small tf_efficientnetv2_s mobileone_s1 repvit_m1 fastvit_t8",
    "transformer": (
        "vit_base_patch16_224 deit3_base_patch16_224 beit_base_patch16_224 cait_s24_224 "
        "swinv2_tiny_window8_256 pvt_v2_b2 mvitv2_tiny xcit_small_12_p8_224 eva02_base_patch14_224 "
        "vit_base_patch16_rope_224"
    ),
    "hybrid": "levit_256 coatnet_0_rw_224 mobilevit_s edgenext_small",
    "MLP": "mixer_b16_224",
    "recurrent": "sequencer2d_s",
}
TIMM: Mapping[str, str] = {name: kind for kind, names in _TIMM_KINDS.items() for name in names.split()}
"""Forty of timm's architectures, one of a kind, with their kind."""


@dataclass(frozen=True)
class Coverage:
    """What became of an architecture: `refusal` is "" where it was estimated, `defaulted` its ops without a rule.

    `defaulted` has the percent of device time for each.
    """

    name: str
    about: str
    refusal: str
    defaulted: Mapping[str, float]

    @property
    def cells(self) -> Tuple[str, str, str]:
        """Returns its row of the table behind the name: input, result, ops without a rule."""
        shares = ", ".join(f"`{name}` {share:.1f} %" for name, share in self.defaulted.items())
        return self.about, f"refused: {self.refusal}" if self.refusal else "estimated", shares or "-"


def torchvision_names() -> List[str]:
    """Returns the names of all models that torchvision builds."""
    from torchvision.models import list_models

    return sorted(list_models())


def torchvision_coverage(name: str) -> Coverage:
    """Returns what becomes of one of torchvision's models."""
    from torchvision.models import get_model_builder

    builder = get_model_builder(name)
    takes = inspect.signature(builder).parameters
    none = {option: None for option in ("weights", "weights_backbone") if option in takes}
    module = _built(lambda: builder(**none))
    about, inputs = _torchvision_input(name, builder.__module__.split(".")[2])
    return _coverage(name, about, module, inputs)


def _torchvision_input(name: str, package: str) -> Tuple[str, Any]:
    """What a kind of model takes, in words and as example inputs."""
    import torch

    def empty(*shape: int) -> torch.Tensor:
        return torch.empty(shape, device="meta")

    if package == "detection":
        return f"list of 3x{_DETECTION_PX}x{_DETECTION_PX}", ([empty(3, _DETECTION_PX, _DETECTION_PX)],)
    if package == "optical_flow":
        return f"two of 1x3x{_FLOW_PX}x{_FLOW_PX}", (empty(1, 3, _FLOW_PX, _FLOW_PX),) * 2
    if package == "video":
        frames, px = next((found for start, found in _FRAMES.items() if name.startswith(start)), (16, 112))
        return f"1x3x{frames}x{px}x{px}", empty(1, 3, frames, px, px)
    px = _INPUT_PX.get(name, 224)
    return f"1x3x{px}x{px}", empty(1, 3, px, px)


def timm_coverage(name: str) -> Coverage:
    """Returns what becomes of one of timm's models, which must be installed."""
    import timm
    import torch

    module: Any = _built(lambda: timm.create_model(name, pretrained=False))
    shape = (1, *module.default_cfg["input_size"])
    return _coverage(name, f"{TIMM[name]}, {'x'.join(map(str, shape))}", module, torch.empty(shape, device="meta"))


def _coverage(name: str, about: str, module: torch.nn.Module, inputs: Any) -> Coverage:
    try:
        return Coverage(name, about, "", estimate(module, inputs).defaulted_share_pct)
    except CaptureError as error:
        return Coverage(name, about, str(error), {})


def _built(make: Callable[[], torch.nn.Module]) -> torch.nn.Module:
    """The model on the meta device; its weights alone, where it computes its widths from tensors while it is built."""
    try:
        with _on_meta(everything=True):
            return make().eval()
    except (NotImplementedError, RuntimeError):  # what releases raise where a tensor's value is asked for
        with _on_meta(everything=False):
            return make().eval()


@contextmanager
def _on_meta(everything: bool) -> Iterator[None]:
    import torch
    from torch.overrides import TorchFunctionMode

    class WithoutWeights(TorchFunctionMode):
        """Weights are what `torch.empty` makes; no initialiser runs."""

        def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            if getattr(func, "__module__", None) == "torch.nn.init":
                return args[0] if args else (kwargs or {})["tensor"]
            return func(*args, **({**(kwargs or {}), "device": "meta"} if func is torch.empty else kwargs or {}))

    with torch.device("meta" if everything else "cpu"), warnings.catch_warnings(), WithoutWeights():
        warnings.simplefilter("ignore")
        yield


def coverage_table(covered: Iterable[Coverage]) -> List[str]:
    """Returns the table of these architectures, those with the same cells in one row, and below it the sum."""
    found = list(covered)
    alike: Dict[Tuple[str, str, str], List[str]] = {}
    for one in found:
        alike.setdefault(one.cells, []).append(one.name)
    estimated = [one for one in found if not one.refusal]
    within = sum(sum(one.defaulted.values()) <= MOST_DEFAULTED_PCT for one in estimated)
    return [
        "| Models | Input | Result | Ops without a rule, of device time |",
        "| --- | --- | --- | --- |",
        *(f"| {', '.join(names)} | {' | '.join(cells)} |" for cells, names in alike.items()),
        "",
        f"{len(estimated)} of {len(found)} estimated, {len(found) - len(estimated)} refused in one line; ops without a "
        f"rule take at most {MOST_DEFAULTED_PCT:.0f} % of device time in {within} of {len(estimated)}.",
    ]


def covered_in(text: str, block: str) -> Dict[str, Tuple[str, ...]]:
    """Returns by name what a block of the document says of each architecture, as `Coverage.cells` has it."""
    lines = text.partition(f"<!-- begin {block}: ")[2].partition("<!-- end")[0].splitlines()
    rows = [line.strip("| ").split(" | ") for line in lines if line.startswith("| ")][2:]
    return {name: tuple(cells) for names, *cells in rows for name in names.split(", ")}


def torchvision_table() -> List[str]:
    """Returns the table of all of torchvision's models, and the releases it was written with."""
    return [_releases("torchvision"), "", *coverage_table(map(torchvision_coverage, torchvision_names()))]


def timm_table() -> List[str]:
    """Returns the table of forty of timm's models, and the releases it was written with."""
    return [_releases("timm"), "", *coverage_table(map(timm_coverage, TIMM))]


def _releases(distribution: str) -> str:
    return f"With {distribution} {version(distribution)} and torch {version('torch').split('+')[0]}:"


SIZES: Mapping[str, Mapping[str, int]] = {
    "0.1 billion parameters": {"width": 576, "layers": 12},
    "7 billion parameters": {"width": 4096, "layers": 33},
}
"""Decoders of language, by their size."""
_VOCABULARY, _TOKENS = 50257, 128


def decoder(width: int, layers: int) -> torch.nn.Module:
    """Returns a plain decoder of language on the meta device: embeddings, attention and perceptrons, a head."""
    import torch
    from torch import nn

    class Decoder(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embedding = nn.Embedding(_VOCABULARY, width)
            self.layers = nn.ModuleList(nn.ModuleList(self._layer()) for _ in range(layers))
            self.head = nn.Linear(width, _VOCABULARY, bias=False)

        @staticmethod
        def _layer() -> Tuple[nn.Module, ...]:
            perceptron = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))
            return (
                nn.LayerNorm(width),
                nn.Linear(width, 3 * width),
                nn.Linear(width, width),
                nn.LayerNorm(width),
                perceptron,
            )

        def forward(self, tokens: torch.Tensor) -> torch.Tensor:
            x = self.embedding(tokens)
            for layer in self.layers:
                x = self._through(layer, x)
            return self.head(x)  # type: ignore[no-any-return]

        @staticmethod
        def _through(layer: Any, x: torch.Tensor) -> torch.Tensor:
            first, joint, merge, second, perceptron = layer
            query, key, value = joint(first(x)).unflatten(-1, (3, width // 64, 64)).permute(2, 0, 3, 1, 4)
            seen = nn.functional.scaled_dot_product_attention(query, key, value, is_causal=True)
            x = x + merge(seen.transpose(1, 2).flatten(2))
            return x + perceptron(second(x))  # type: ignore[no-any-return]

    with torch.device("meta"):
        return Decoder()


def cost_of_estimating(width: int, layers: int) -> Dict[str, float]:
    """Returns what one estimate costs this process: seconds, the peak of its memory before and after; sizes."""
    import torch

    estimate(torch.nn.Linear(2, 2), torch.empty(1, 2))  # loads what the first estimate of a process needs
    before_mib, start_s = _peak_mib(), time.perf_counter()
    module = decoder(width, layers)
    built_s = time.perf_counter()
    found = estimate(module, torch.zeros(1, _TOKENS, dtype=torch.long, device="meta"))
    end_s = time.perf_counter()
    return {
        "parameters": sum(p.numel() for p in module.parameters()),
        "ops": found.ops,
        "build_s": built_s - start_s,
        "estimate_s": end_s - built_s,
        "before_mib": before_mib,
        "after_mib": _peak_mib(),
    }


def _peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def cost_table() -> List[str]:
    """Returns what an estimate costs, each in a process of its own, and on which machine."""
    rows = {name: _in_a_process(size) for name, size in SIZES.items()}
    return [
        f"On {_machine()}, Python {platform.python_version()}, torch {version('torch').split('+')[0]}:",
        "",
        "| Module | Parameters | Ops | Building it on meta | Estimating it | Peak of memory, before both |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
        *(
            f"| {name} | {row['parameters'] / 1e6:,.0f} M | {row['ops']:.0f} | {row['build_s']:.2f} s "
            f"| {row['estimate_s']:.2f} s | {row['after_mib']:.0f} MiB, {row['before_mib']:.0f} MiB |"
            for name, row in rows.items()
        ),
    ]


def _in_a_process(size: Mapping[str, int]) -> Dict[str, float]:
    program = f"import json; from bench.coverage import cost_of_estimating as c; print(json.dumps(c(**{dict(size)})))"
    text = subprocess.run([sys.executable, "-c", program], check=True, stdout=subprocess.PIPE).stdout
    return json.loads(text)  # type: ignore[no-any-return]


def _machine() -> str:
    """The processor by its name, where the system says it."""
    cores = os.cpu_count()
    return f"{_processor() or platform.machine()}, {cores} cores"


def _processor() -> Optional[str]:
    try:
        lines = read_text(Path("/proc/cpuinfo")).splitlines()
    except OSError:
        return None
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), None)
