"""The models of diffusers: one step of denoising, and the encoders and decoders of images around it."""

from __future__ import annotations

from importlib import import_module
from typing import Any, Callable, Dict, Tuple

import torch

from .architecture import Architecture, Built, seeded


class _Decoding(torch.nn.Module):
    """The part of an autoencoder that a pipeline runs last."""

    def __init__(self, autoencoder: Any) -> None:
        super().__init__()
        self.autoencoder = autoencoder

    def forward(self, latent: torch.Tensor) -> Any:
        return self.autoencoder.decode(latent).sample


def _row(name: str, inputs: Callable[[], Any], about: str = "", **options: Any) -> Architecture:
    """The row of a class of diffusers, which `name` starts with."""

    def make() -> Built:
        model = getattr(import_module("diffusers"), name.split(",")[0])(**options)
        return _Decoding(model) if name.endswith(", decode") else model, inputs()

    return seeded("diffusers", name, make, about)


def _step(channels: int = 4, size: int = 16, text: int = 12, width: int = 32, **more: Any) -> Callable[[], Any]:
    """A latent, the step as a scheduler gives it, and the text's states; `more` is called."""

    def make() -> Dict[str, Any]:
        sizes = (size, size) if channels else ()
        found = {"sample": torch.randn(1, channels, *sizes), "timestep": torch.tensor(801)}
        if text:
            found["encoder_hidden_states"] = torch.randn(1, text, width)
        return {**found, **{name: made() for name, made in more.items()}}

    return make


def _denoised(text: int = 12, width: int = 32, **made: Callable[[], Any]) -> Callable[[], Any]:
    """The same for the transformers, which call the latent hidden_states and take a step for each image."""

    def make() -> Dict[str, Any]:
        found = {"hidden_states": torch.randn(1, 4, 16, 16), "timestep": torch.tensor([801])}
        return {**found, "encoder_hidden_states": torch.randn(1, text, width), **{k: v() for k, v in made.items()}}

    return make


def _latent(channels: int = 4, size: int = 16) -> Callable[[], Any]:
    return lambda: torch.randn(1, channels, size, size)


def _sdxl() -> Dict[str, Any]:
    return {"text_embeds": torch.randn(1, 32), "time_ids": torch.tensor([[128.0, 128.0, 0.0, 0.0, 128.0, 128.0]])}


# fmt: off
_UNET: Any = {"block_out_channels": (32, 64), "layers_per_block": 1, "cross_attention_dim": 32,
              "attention_head_dim": 8, "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D")}
_UP: Any = {"up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D")}
_VAE: Any = {"block_out_channels": (32, 64), "down_block_types": ("DownEncoderBlock2D",) * 2, "latent_channels": 4,
             "up_block_types": ("UpDecoderBlock2D",) * 2, "norm_num_groups": 8}
_DIT: Any = {"num_attention_heads": 4, "attention_head_dim": 8, "in_channels": 4, "sample_size": 16, "num_layers": 2}
_FLUX: Any = {"in_channels": 16, "num_layers": 1, "num_single_layers": 1, "attention_head_dim": 16,
              "num_attention_heads": 2, "joint_attention_dim": 32, "pooled_projection_dim": 32,
              "axes_dims_rope": (4, 6, 6)}

DIFFUSERS: Tuple[Architecture, ...] = (
    _row("UNet2DConditionModel", _step(), "Stable Diffusion", **_UNET, **_UP),
    _row("UNet2DConditionModel, SDXL", _step(added_cond_kwargs=_sdxl), addition_embed_type="text_time",
         addition_time_embed_dim=8, projection_class_embeddings_input_dim=80, use_linear_projection=True,
         transformer_layers_per_block=(2, 1), **_UNET, **_UP),
    _row("UNet2DModel", _step(3, 32, text=0), block_out_channels=(32, 64), layers_per_block=1, sample_size=32,
         down_block_types=("DownBlock2D", "AttnDownBlock2D"), up_block_types=("AttnUpBlock2D", "UpBlock2D")),
    _row("AutoencoderKL", _latent(3, 64), **_VAE),
    _row("AutoencoderKL, decode", _latent(), **_VAE),
    _row("AutoencoderTiny, decode", _latent(), encoder_block_out_channels=(16, 16), num_encoder_blocks=(1, 1),
         decoder_block_out_channels=(16, 16), num_decoder_blocks=(1, 1)),
    _row("VQModel", _latent(3, 64), num_vq_embeddings=64, **_VAE),
    _row("ControlNetModel", _step(controlnet_cond=lambda: torch.rand(1, 3, 128, 128)), **_UNET),
    _row("Transformer2DModel", _denoised(), cross_attention_dim=32, norm_num_groups=2,
         **{k: v for k, v in _DIT.items() if k != "sample_size"}),
    _row("DiTTransformer2DModel", lambda: {"hidden_states": torch.randn(1, 4, 16, 16), "timestep": torch.tensor([801]),
         "class_labels": torch.tensor([207])}, norm_num_groups=4, **_DIT),
    _row("PixArtTransformer2DModel", _denoised(added_cond_kwargs=lambda: {"resolution": None, "aspect_ratio": None}),
         "PixArt-Sigma", cross_attention_dim=32, caption_channels=32, norm_num_groups=4,
         use_additional_conditions=False, **_DIT),
    _row("SD3Transformer2DModel", _denoised(pooled_projections=lambda: torch.randn(1, 32)), joint_attention_dim=32,
         caption_projection_dim=32, pooled_projection_dim=32, pos_embed_max_size=16, out_channels=4, **_DIT),
    _row("FluxTransformer2DModel", lambda: {"hidden_states": torch.randn(1, 64, 16), "timestep": torch.tensor([0.8]),
         "encoder_hidden_states": torch.randn(1, 12, 32), "pooled_projections": torch.randn(1, 32),
         "img_ids": torch.cartesian_prod(torch.zeros(1), torch.arange(8.0), torch.arange(8.0)),
         "txt_ids": torch.zeros(12, 3), "guidance": torch.tensor([3.5])}, guidance_embeds=True, **_FLUX),
    _row("CogVideoXTransformer3DModel", lambda: {"hidden_states": torch.randn(1, 2, 4, 8, 8),
         "encoder_hidden_states": torch.randn(1, 8, 32), "timestep": torch.tensor([801])}, num_attention_heads=2,
         attention_head_dim=16, in_channels=4, out_channels=4, time_embed_dim=8, text_embed_dim=32, num_layers=1,
         sample_width=8, sample_height=8, sample_frames=5, max_text_seq_length=8),
    _row("SanaTransformer2DModel", _denoised(), out_channels=4, num_cross_attention_heads=2, cross_attention_dim=32,
         cross_attention_head_dim=16, caption_channels=32, patch_size=1, **_DIT),
    _row("Lumina2Transformer2DModel", _denoised(encoder_attention_mask=lambda: torch.ones(1, 12, dtype=torch.bool)),
         in_channels=4, hidden_size=48, num_layers=1, num_refiner_layers=1, num_attention_heads=2, num_kv_heads=1,
         multiple_of=16, axes_dim_rope=(8, 8, 8), axes_lens=(32, 32, 32), cap_feat_dim=32, sample_size=16),
)
