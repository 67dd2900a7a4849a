"""Segmentation, medical images, CLIP, graphs, features of images, and detection: a few models of each library."""

from __future__ import annotations

from importlib import import_module
from typing import Any, Callable, Tuple

import torch

from .architecture import Architecture, seeded

Make = Callable[[Any], torch.nn.Module]


def _row(library: str, name: str, make: Make, inputs: Callable[[], Any], about: str = "") -> Architecture:
    """`make` is given the imported library."""
    return seeded(library, name, lambda: (make(import_module(library)), inputs()), about)


def _segmentation(name: str, encoder: str = "resnet18", **options: Any) -> Architecture:
    def make(smp: Any) -> torch.nn.Module:
        found: torch.nn.Module = getattr(smp, name)(encoder, encoder_weights=None, classes=5, **options)
        return found

    return _row("segmentation_models_pytorch", name, make, lambda: torch.rand(1, 3, 128, 128), encoder)


def _monai(name: str, dimensions: int = 3, size: int = 32, **options: Any) -> Architecture:
    def make(_monai: Any) -> torch.nn.Module:
        found: torch.nn.Module = getattr(import_module("monai.networks.nets"), name)(**options)
        return found

    return _row("monai", name, make, lambda: torch.rand(1, 1, *(size,) * dimensions))


_CHANNELS: Any = {"in_channels": 1, "out_channels": 3}
_KERNELS: Any = {"spatial_dims": 3, "kernel_size": [3, 3, 3], "strides": [1, 2, 2], "upsample_kernel_size": [2, 2]}
_CLIP_TEXT: Any = {"context_length": 77, "vocab_size": 49408, "width": 64, "heads": 4, "layers": 2}


def _clip(name: str, model: str = "CLIP", **vision: Any) -> Architecture:
    def make(package: Any) -> torch.nn.Module:
        found: torch.nn.Module = getattr(package, model)(
            embed_dim=64, vision_cfg={"image_size": 64, **vision}, text_cfg=_CLIP_TEXT
        )
        return found

    def inputs() -> Any:
        words = torch.randint(1, 49000, (2, 77))
        words[:, 10], words[:, 11:] = 49407, 0
        return torch.rand(1, 3, 64, 64), words

    return _row("open_clip", name, make, inputs)


class _Graph(torch.nn.Module):
    """Two convolutions of a kind with a ReLU between them, as PyTorch Geometric's examples write a model."""

    def __init__(self, first: torch.nn.Module, second: torch.nn.Module) -> None:
        super().__init__()
        self.first, self.second = first, second

    def forward(self, x: torch.Tensor, edge_index: Any) -> torch.Tensor:
        found: torch.Tensor = self.second(self.first(x, edge_index).relu(), edge_index)
        return found


def _edges() -> torch.Tensor:
    return torch.stack([torch.arange(40).repeat(3), torch.cat([torch.randperm(40) for _ in range(3)])])


def _graph(name: str, kind: str, adjacency: str = "", **options: Any) -> Architecture:
    """A whole model of the library, or one of `kind` convolutions; `adjacency` is the layout of a sparse matrix."""

    def make(_geometric: Any) -> torch.nn.Module:
        nn = import_module("torch_geometric.nn")
        if not kind.endswith("Conv"):
            found: torch.nn.Module = getattr(nn, kind)(16, 32, num_layers=2, out_channels=8, **options)
            return found
        return _Graph(getattr(nn, kind)(16, 32, **options), getattr(nn, kind)(32, 8, **options))

    def inputs() -> Any:
        if not adjacency:
            return torch.randn(40, 16), _edges()
        matrix = torch.sparse_coo_tensor(_edges(), torch.ones(120), (40, 40)).coalesce()
        return torch.randn(40, 16), matrix.to_sparse_csr() if adjacency == "csr" else matrix

    return _row("torch_geometric", name, make, inputs)


def _kornia(
    name: str, inputs: Callable[[], Any], about: str = "", module: str = "feature", **options: Any
) -> Architecture:
    def make(_kornia: Any) -> torch.nn.Module:
        found: torch.nn.Module = getattr(import_module(f"kornia.{module}"), name)(**options)
        return found

    return _row("kornia", name, make, inputs, about)


def _image(channels: int = 1, size: int = 64, batch: int = 1) -> Callable[[], Any]:
    return lambda: torch.rand(batch, channels, size, size)


def _matched() -> Any:
    def found() -> Any:
        return {
            "keypoints": torch.rand(1, 50, 2) * 64,
            "descriptors": torch.randn(1, 50, 64),
            "image_size": torch.tensor([[64, 64]]),
        }

    return ({"image0": found(), "image1": found()},)


def _rf_detr(name: str, px: int) -> Architecture:
    def make(package: Any) -> torch.nn.Module:
        found: torch.nn.Module = getattr(package, name)(pretrain_weights=None, device="cpu").model.model
        return found

    return _row("rfdetr", name, make, _image(3, px))


def _detection(name: str) -> Architecture:
    options: Any = {} if "320" in name or name.startswith("ssd") else {"min_size": 320}
    options = {**options, "rpn_post_nms_top_n_test": 200} if "rcnn" in name else options

    def make(_torchvision: Any) -> torch.nn.Module:
        build = getattr(import_module("torchvision.models.detection"), name)
        found: torch.nn.Module = build(weights=None, weights_backbone=None, **options)
        return found

    about = ", ".join(f"{option}={value}" for option, value in options.items())
    return _row("torchvision", name, make, lambda: ([torch.rand(3, 320, 320)],), about)


# fmt: off
SEGMENTATION: Tuple[Architecture, ...] = (
    _segmentation("Unet"),
    _segmentation("UnetPlusPlus", decoder_attention_type="scse"),
    _segmentation("FPN", "mobilenet_v2"),
    _segmentation("DeepLabV3Plus"),
    _segmentation("PSPNet"),
    _segmentation("Segformer", "mit_b0"),
    _segmentation("DPT", "tu-vit_tiny_patch16_224", dynamic_img_size=True),
    _monai("UNet", spatial_dims=3, channels=(8, 16, 32), strides=(2, 2), num_res_units=2, **_CHANNELS),
    _monai("SwinUNETR", size=64, feature_size=12, depths=(1, 1, 1, 1), num_heads=(1, 2, 4, 8), **_CHANNELS),
    _monai("UNETR", img_size=32, feature_size=8, hidden_size=48, mlp_dim=96, num_heads=4, **_CHANNELS),
    _monai("DynUNet", deep_supervision=False, res_block=True, filters=[8, 16, 32], **_KERNELS, **_CHANNELS),
    _monai("SegResNet", init_filters=8, **_CHANNELS),
    _monai("DenseNet121", 2, 64, spatial_dims=2, **_CHANNELS),
)
CLIP: Tuple[Architecture, ...] = (
    _clip("ViT-B-32, small", layers=2, width=64, head_width=16, patch_size=32),
    _clip("RN50, small", layers=[1, 1, 1, 1], width=16, patch_size=None),
    _clip("CoCa, small", "CustomTextCLIP", layers=2, width=64, head_width=16, patch_size=16, attentional_pool=True),
)
GRAPHS: Tuple[Architecture, ...] = (
    _graph("GCN", "GCN"),
    _graph("GAT", "GAT", heads=4),
    _graph("GraphSAGE", "GraphSAGE"),
    _graph("GIN", "GIN"),
    _graph("TransformerConv", "TransformerConv", heads=2, concat=False),
    _graph("GATv2Conv", "GATv2Conv", heads=2, concat=False),
    _graph("ChebConv", "ChebConv", K=3),
    _graph("GCN, sparse CSR", "GCN", "csr"),
    _graph("GCN, sparse COO", "GCN", "coo"),
)
FEATURES: Tuple[Architecture, ...] = (
    _kornia("LoFTR", lambda: ({"image0": torch.rand(1, 1, 64, 64), "image1": torch.rand(1, 1, 64, 64)},),
        pretrained=None),
    _kornia("DISK", _image(3)),
    _kornia("HardNet", _image(1, 32, 16), "16 patches", pretrained=False),
    _kornia("SOSNet", _image(1, 32, 16), "16 patches", pretrained=False),
    _kornia("KeyNet", _image(), pretrained=False),
    _kornia("OriNet", _image(1, 32, 16), "16 patches", pretrained=False),
    _kornia("XFeatModel", _image(3), module="feature.xfeat"),
    _kornia("LightGlue", _matched, features=None, input_dim=64, descriptor_dim=64, n_layers=2, num_heads=4),
    _kornia("DexiNed", _image(3), module="models.dexined", pretrained=False),
    _kornia("Canny", _image(3), module="filters"),
    _kornia("GaussianBlur2d", _image(3), module="filters", kernel_size=(5, 5), sigma=(1.5, 1.5)),
    _kornia("Sobel", _image(3), module="filters"),
)
DETECTION: Tuple[Architecture, ...] = (
    *map(_detection, ("fasterrcnn_resnet50_fpn fasterrcnn_resnet50_fpn_v2 fasterrcnn_mobilenet_v3_large_fpn "
        "fasterrcnn_mobilenet_v3_large_320_fpn fcos_resnet50_fpn keypointrcnn_resnet50_fpn "
        "maskrcnn_resnet50_fpn maskrcnn_resnet50_fpn_v2 retinanet_resnet50_fpn "
        "retinanet_resnet50_fpn_v2 ssd300_vgg16 ssdlite320_mobilenet_v3_large").split()),
    _rf_detr("RFDETRNano", 384),
    _rf_detr("RFDETRSegNano", 312),
)
