"""The tables of docs/coverage.md: which architectures are estimated, which are refused and why.

All of torchvision's and forty of timm's, without weights, and what is in `bench.architectures`, small ones with
weights: `python -m bench.documents --coverage` writes them, and `tox -e architectures` holds them; the tests of the
suite itself hold a spread of torchvision's.
"""

from __future__ import annotations

import inspect
import re
import warnings
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Callable, Dict, Iterable, Iterator, List, Mapping, Tuple

from bench.architectures import ARCHITECTURES, architectures
from bench.architectures.architecture import Architecture
from estimator import CaptureError, estimate  # before torchvision: makes its import work where its extension is missing
from estimator.figures import percent
from estimator.report.table import Table, left

if TYPE_CHECKING:
    import torch

_PLACE = re.compile(r" \(\S+\.py:\d+\)")  # where a library is installed is no news
MOST_DEFAULTED_PCT = 1.0
"""What all ops without a rule may take of a model's device time, together."""
OTHER_LIBRARIES = (
    "transformers",
    "ultralytics",
    "diffusers",
    "segmentation-models-pytorch",
    "monai",
    "open-clip-torch",
    "torch-geometric",
    "kornia",
    "rfdetr",
)
"""The distributions of the libraries in `bench.architectures`."""
OTHERS = tuple(one for one in ARCHITECTURES if one.library != "torchvision")
"""The architectures of other libraries."""
_FLOW_PX = 128
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

    `defaulted` has the percent of device time for each. `decided` says whether the values of the inputs did what ops
    there are.
    """

    name: str
    about: str
    refusal: str
    defaulted: Mapping[str, float]
    decided: bool = False

    @property
    def cells(self) -> Tuple[str, str, str]:
        """Returns its row of the table behind the name: input, result, ops without a rule."""
        shares = ", ".join(f"`{name}` {percent(share)}" for name, share in self.defaulted.items())
        estimated = "estimated, of these inputs" if self.decided else "estimated"
        return self.about, f"refused: {self.refusal}" if self.refusal else estimated, shares or "-"


def torchvision_names() -> List[str]:
    """Returns the names of all models that torchvision builds."""
    from torchvision.models import list_models

    return sorted(list_models())


def torchvision_coverage(name: str) -> Coverage:
    """Returns what becomes of one of torchvision's models."""
    from torchvision.models import get_model_builder

    for architecture in architectures("torchvision"):  # detectors, whose values decide: with weights
        if architecture.name == name:
            return architecture_coverage(architecture)
    builder = get_model_builder(name)
    takes = inspect.signature(builder).parameters
    none = {option: None for option in ("weights", "weights_backbone") if option in takes}
    about, inputs = _torchvision_input(name, builder.__module__.split(".")[2])
    return _coverage(name, about, _built(lambda: builder(**none)), inputs)


def _torchvision_input(name: str, package: str) -> Tuple[str, Any]:
    """What a kind of model takes, in words and as example inputs."""
    import torch

    def empty(*shape: int) -> torch.Tensor:
        return torch.empty(shape, device="meta")

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


def architecture_coverage(architecture: Architecture) -> Coverage:
    """Returns what becomes of a small model of another library, which must be installed."""
    module, inputs = architecture.build()
    about = f"{architecture.library}, {architecture.about}" if architecture.about else architecture.library
    return _coverage(row_name(architecture), about, module, inputs)


def row_name(architecture: Architecture) -> str:
    """Returns its name as a row has it, where commas part names."""
    return architecture.name.replace(",", "")


def _coverage(name: str, about: str, module: torch.nn.Module, inputs: Any) -> Coverage:
    try:
        found = estimate(module, inputs)
        return Coverage(name, about, "", found.defaulted_share_pct, bool(found.decided_by))
    except CaptureError as error:
        return Coverage(name, about, _PLACE.sub("", str(error)), {})


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
    titles = ("Models", "Input", "Result", "Ops without a rule, of device time")
    return [
        *Table(tuple(map(left, titles)), [(", ".join(names), *cells) for cells, names in alike.items()]).markdown(),
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


def architectures_table() -> List[str]:
    """Returns the table of small models of other libraries, and the releases it was written with."""
    return [_releases(*OTHER_LIBRARIES), "", *coverage_table(map(architecture_coverage, OTHERS))]


def _releases(*distributions: str) -> str:
    *first, last = [f"{name} {version(name).split('+')[0]}" for name in (*distributions, "torch")]
    return f"With {', '.join(first)} and {last}:"
