"""The 22 torchvision models of the suite, families in the order of the report. The only module that names models."""

from __future__ import annotations

import warnings
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Iterable, Iterator, Tuple

from ..errors import UsageError
from .layers import example_tensor

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class ZooModel:
    """One model: torchvision's name, the family of the report, and the side of its square input in pixels."""

    name: str
    family: str
    input_px: int = 224

    def build(self, device: str = "meta") -> torch.nn.Module:
        """Returns the module in `eval()` on `device`; on "meta" no weight is allocated or initialised."""
        from ..missing_operators import declare_missing_operators

        declare_missing_operators()
        from torchvision.models import get_model

        segmentation = {"weights_backbone": None, "aux_loss": False} if self.family == "Segmentation" else {}
        with _building_on(device):
            return get_model(self.name, weights=None, **segmentation).eval()  # type: ignore[no-any-return]

    def example_input(self, batch_size: int = 1, device: str = "meta") -> torch.Tensor:
        """Returns an input of shape (batch_size, 3, input_px, input_px): random, or without data on "meta"."""
        return example_tensor((batch_size, 3, self.input_px, self.input_px), device)


MODELS: Tuple[ZooModel, ...] = (
    *(ZooModel(name, "ResNet") for name in ("resnet18", "resnet34", "resnet50", "resnet101", "resnet152")),
    *(ZooModel(name, "MobileNet") for name in ("mobilenet_v2", "mobilenet_v3_small", "mobilenet_v3_large")),
    ZooModel("efficientnet_b0", "EfficientNet"),
    ZooModel("efficientnet_b1", "EfficientNet", 240),
    ZooModel("efficientnet_b2", "EfficientNet", 260),
    *(ZooModel(name, "VGG") for name in ("vgg11", "vgg16", "vgg19")),
    *(ZooModel(name, "ViT") for name in ("vit_b_16", "vit_b_32", "vit_l_16", "vit_l_32", "vit_h_14")),
    ZooModel("maxvit_t", "MaxViT"),
    *(ZooModel(name, "Segmentation") for name in ("deeplabv3_resnet50", "fcn_resnet50")),
)
FAMILIES: Tuple[str, ...] = tuple(dict.fromkeys(model.family for model in MODELS))


def find_models(names: Iterable[str]) -> Tuple[ZooModel, ...]:
    """Returns the named models in the order of the report; UsageError names what is not known."""
    wanted = list(names)
    known = {model.name for model in MODELS}
    unknown = [name for name in wanted if name not in known]
    if unknown:
        raise UsageError(f"unknown model {', '.join(map(repr, unknown))}; known models: {', '.join(sorted(known))}")
    return tuple(model for model in MODELS if model.name in wanted)


@contextmanager
def _building_on(device: str) -> Iterator[None]:
    import torch
    from torch.overrides import TorchFunctionMode

    drawing = (torch.Tensor.normal_, torch.Tensor.uniform_)  # what not every function of torch.nn.init hands over

    class WithoutInitialisation(TorchFunctionMode):
        """Random weights nobody reads take longer to draw than the whole capture."""

        def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            if getattr(func, "__module__", None) == "torch.nn.init" or func in drawing:
                return args[0] if args else (kwargs or {})["tensor"]
            return func(*args, **(kwargs or {}))

    with torch.device(device), warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # older torchvision calls meshgrid as newer torch would not
        if device != "meta":
            yield
        else:
            with WithoutInitialisation():
                yield
