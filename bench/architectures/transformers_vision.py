"""The models of transformers for images, video, sound, series of numbers, and several of these together."""

from __future__ import annotations

from typing import Any, Tuple

import torch

from .architecture import Architecture
from .hugging_face import (
    SEQ2SEQ,
    SMALL,
    Inputs,
    decoder_step,
    fixed,
    hugging_face,
    ids,
    image_and_text,
    pixels,
    tokens,
    waveform,
)

# fmt: off
_LAYERS: Any = {k: v for k, v in SMALL.items() if k != "vocab_size"}
_VIT: Any = {**_LAYERS, "image_size": 64, "patch_size": 16}
_TEXT: Any = {**SMALL, "max_position_embeddings": 64, "bos_token_id": 0, "eos_token_id": 511, "pad_token_id": 1}
_CLIP_LIKE: Any = {"text_config": _TEXT, "vision_config": _VIT, "projection_dim": 32}
_LLAMA: Any = {"model_type": "llama", "num_key_value_heads": 2, "pad_token_id": 0, **SMALL}
_SWIN: Any = {"image_size": 64, "patch_size": 4, "embed_dim": 16, "depths": [2, 2], "num_heads": [2, 4], "window_size":
    4}
_PYRAMID: Any = {"hidden_sizes": [16, 24, 32, 48], "depths": [1, 1, 1, 1]}
_FOUR_SWIN: Any = {**_SWIN, "depths": [1, 1, 1, 1], "num_heads": [2, 2, 4, 4]}
_STAGES: Any = {"out_features": ["stage1", "stage2", "stage3", "stage4"]}
_LAST_THREE: Any = {"out_features": ["stage2", "stage3", "stage4"]}
_RESNET: Any = {"model_type": "resnet", "embedding_size": 16, "layer_type": "basic", **_PYRAMID}
_DETR: Any = {**SEQ2SEQ, "backbone_config": {**_RESNET, "out_features": ["stage4"]}, "num_queries": 20}
_RT_RESNET: Any = {"model_type": "rt_detr_resnet", "embedding_size": 16, "layer_type": "basic", **_PYRAMID}
_RT_DETR: Any = {"backbone_config": {**_RT_RESNET, **_LAST_THREE}, "encoder_in_channels": [24, 32, 48], **{k: v for k, v
    in SEQ2SEQ.items() if k != "vocab_size"}, "encoder_layers": 1, "encoder_hidden_dim": 64, "decoder_in_channels": [64,
    64, 64], "num_queries": 20}
_SOUND: Any = {**SMALL, "conv_dim": [32, 32, 32], "conv_kernel": [10, 3, 3], "conv_stride": [5, 4, 4],
    "num_conv_pos_embeddings": 16, "num_conv_pos_embedding_groups": 4}
_WHISPER: Any = {**SEQ2SEQ, "num_mel_bins": 16, "max_source_positions": 100, "pad_token_id": 0, "bos_token_id": 1,
    "eos_token_id": 1, "decoder_start_token_id": 1}
_QWEN_VISION: Any = {"depth": 2, "num_heads": 4, "patch_size": 14, "spatial_merge_size": 2, "temporal_patch_size": 2}
_QWEN_TEXT: Any = {**SMALL, "num_key_value_heads": 2, "pad_token_id": 0, "rope_parameters": {"rope_type": "default",
    "rope_theta": 1e6, "mrope_section": [2, 3, 3]}}
_QWEN_TOKENS: Any = {"image_token_id": 500, "video_token_id": 501, "vision_start_token_id": 502, "vision_end_token_id":
    503}
# fmt: on


def _spectrogram(name: str = "input_features", frames: int = 200, bins: int = 16) -> Any:
    return fixed(lambda: {name: torch.randn(1, bins, frames)})


def _whisper(_model: Any) -> Any:
    return {"input_features": torch.randn(1, 16, 200), "decoder_input_ids": ids(8)}


def _qwen_image(patches: int = 64) -> Any:
    """An image of 8 x 8 patches, of which four make one token."""
    return image_and_text(
        16,
        500,
        patches // 4,
        pixel_values=lambda: torch.randn(patches, 3 * 2 * 14 * 14),
        image_grid_thw=lambda: torch.tensor([[1, 8, 8]]),
        mm_token_type_ids=lambda: _of_image(16, patches // 4),
    )


def _of_image(text: int, images: int) -> torch.Tensor:
    found = torch.zeros(1, text + images, dtype=torch.int64)
    found[0, 2 : 2 + images] = 1
    return found


def _clip(_model: Any) -> Any:
    found = torch.cat([ids(15, 2).clamp(max=500), torch.full((2, 1), 511)], 1)
    return {"input_ids": found, "attention_mask": torch.ones_like(found), "pixel_values": torch.randn(1, 3, 64, 64)}


def _prompt_points() -> Any:
    return {"pixel_values": torch.randn(1, 3, 64, 64), "input_points": torch.tensor([[[[20.0, 30.0]]]])}


def _boxes(length: int = 16) -> torch.Tensor:
    corner = torch.randint(0, 500, (1, length, 2))
    return torch.cat([corner, corner + torch.randint(1, 400, (1, length, 2))], -1)


_IMAGE = pixels()


def _row(name: str, inputs: Inputs = _IMAGE, about: str = "", **options: Any) -> Architecture:
    return hugging_face(name, inputs, about, **options)


# fmt: off
VISION: Tuple[Architecture, ...] = (
    _row("ViTForImageClassification", **_VIT),
    _row("DeiTForImageClassificationWithTeacher", **_VIT),
    _row("BeitForImageClassification", use_relative_position_bias=True, **_VIT),
    _row("Dinov2Model", **{**_VIT, "patch_size": 14}, about="resizes its position embeddings"),
    _row("DINOv3ViTModel", num_register_tokens=4, **_VIT),
    _row("DINOv3ConvNextModel", **_PYRAMID),
    _row("SwinForImageClassification", **_SWIN),
    _row("Swinv2ForImageClassification", **_SWIN),
    _row("ConvNextV2ForImageClassification", **_PYRAMID),
    _row("ResNetForImageClassification", **{k: v for k, v in _RESNET.items() if k != "model_type"}),
    _row("HieraModel", image_size=[64, 64], embed_dim=16, depths=[1, 1, 1, 1], num_heads=[1, 2, 2, 4]),
    _row("MobileViTForImageClassification", hidden_sizes=[24, 32, 48], neck_hidden_sizes=[8, 16, 24, 32, 40, 48, 64],
        num_attention_heads=4, image_size=64),
    _row("PvtV2ForImageClassification", hidden_sizes=[16, 24, 32, 48], depths=[1, 1, 1, 1], image_size=64,
        num_attention_heads=[1, 2, 4, 4]),
    _row("SegformerForSemanticSegmentation", hidden_sizes=[16, 24, 32, 48], depths=[1, 1, 1, 1], num_attention_heads=[1,
        2, 4, 4], decoder_hidden_size=32),
    _row("UperNetForSemanticSegmentation", backbone_config={"model_type": "convnext", **_PYRAMID, **_STAGES},
        hidden_size=32, auxiliary_in_channels=32, auxiliary_channels=16),
    _row("DetrForObjectDetection", pixels(mask=True), **_DETR),
    _row("ConditionalDetrForObjectDetection", pixels(mask=True), **_DETR),
    _row("TableTransformerForObjectDetection", pixels(mask=True), **_DETR),
    _row("DeformableDetrForObjectDetection", pixels(128, mask=True), two_stage=True, with_box_refine=True, **{**_DETR,
        "backbone_config": {**_RESNET, **_LAST_THREE}}),
    _row("RTDetrForObjectDetection", pixels(128, mask=True), **_RT_DETR),
    _row("RTDetrV2ForObjectDetection", pixels(128, mask=True), **_RT_DETR),
    _row("DFineForObjectDetection", pixels(128, mask=True), **_RT_DETR),
    _row("RfDetrForObjectDetection", pixels(128, mask=True), d_model=64, decoder_ffn_dim=128, num_queries=20,
        decoder_self_attention_heads=4, decoder_cross_attention_heads=4, backbone_config={"model_type":
        "rf_detr_dinov2", **_VIT, "image_size": 128, "num_windows": 2, "out_indices": [1, 2]}),
    _row("YolosForObjectDetection", num_detection_tokens=10, **{**_VIT, "image_size": [64, 64]}),
    _row("MaskFormerForInstanceSegmentation", backbone_config={"model_type": "swin", **_FOUR_SWIN, **_STAGES},
        decoder_config={"model_type": "detr", **SEQ2SEQ}, fpn_feature_size=32, mask_feature_size=32),
    _row("Mask2FormerForUniversalSegmentation", pixels(128), feature_size=32, mask_feature_size=32, hidden_dim=64,
        backbone_config={"model_type": "swin", **_FOUR_SWIN, **_STAGES}, encoder_feedforward_dim=64, encoder_layers=1,
        dim_feedforward=64, num_attention_heads=4, decoder_layers=3, num_queries=10),
    _row("OneFormerForUniversalSegmentation", pixels(128, task_inputs=torch.ones(1, 77, dtype=torch.int64)),
        backbone_config={"model_type": "swin", **_FOUR_SWIN, **_STAGES}, is_training=False, decoder_layers=3,
        conv_dim=64, mask_dim=64, hidden_dim=64, encoder_feedforward_dim=64, dim_feedforward=64, encoder_layers=1,
        num_attention_heads=4, num_queries=10, text_encoder_width=64, task_seq_len=77),
    _row("DPTForDepthEstimation", backbone_out_indices=[0, 1, 2, 3], neck_hidden_sizes=[8, 16, 24, 32],
        fusion_hidden_size=16, readout_type="project", **{**_VIT, "num_hidden_layers": 4}),
    _row("DepthAnythingForDepthEstimation", pixels(70), reassemble_hidden_size=64, patch_size=14, fusion_hidden_size=16,
        neck_hidden_sizes=[8, 16, 24, 32], head_hidden_size=8, backbone_config={"model_type": "dinov2", **_STAGES,
        **_VIT, "num_hidden_layers": 4, "patch_size": 14, "image_size": 70, "reshape_hidden_states": False}),
    _row("GLPNForDepthEstimation", hidden_sizes=[16, 24, 32, 48], depths=[1, 1, 1, 1], decoder_hidden_size=16,
        num_attention_heads=[1, 2, 4, 4]),
    _row("VitPoseForPoseEstimation", num_labels=17, backbone_config={"model_type": "vitpose_backbone", **_LAYERS,
        "image_size": [64, 64], "patch_size": [16, 16], "out_features": ["stage2"]}, use_simple_decoder=True),
    _row("SuperPointForKeypointDetection", pixels(96), encoder_hidden_sizes=[16, 16, 32, 32], decoder_hidden_size=64,
        keypoint_decoder_dim=65, descriptor_decoder_dim=64),
    _row("Swin2SRForImageSuperResolution", pixels(32), upscale=2, **{**_SWIN, "image_size": 32, "patch_size": 1}),
    _row("SamModel", fixed(_prompt_points), vision_config={**_VIT, "output_channels": 32, "num_pos_feats": 16,
        "window_size": 2, "global_attn_indexes": [1], "mlp_dim": 128}, prompt_encoder_config={"hidden_size": 32,
        "image_size": 64, "patch_size": 16, "image_embedding_size": 4}, mask_decoder_config={"hidden_size": 32,
        "mlp_dim": 64, "num_attention_heads": 4, "iou_head_hidden_dim": 32}),
    _row("VideoMAEForVideoClassification", pixels(32, frames=8), num_frames=8, **{**_VIT, "image_size": 32}),
    _row("TimesformerForVideoClassification", pixels(32, frames=4), num_frames=4, **{**_VIT, "image_size": 32}),
    _row("VivitModel", pixels(32, frames=4), num_frames=4, tubelet_size=[2, 16, 16], **{**_LAYERS, "image_size": 32}),
)
SOUND: Tuple[Architecture, ...] = (
    _row("Wav2Vec2ForCTC", waveform(), **_SOUND),
    _row("Wav2Vec2Model", waveform(mask=True), "layer norm in its convolutions, as the large models have it",
        feat_extract_norm="layer", do_stable_layer_norm=True, **_SOUND),
    _row("HubertModel", waveform(), **_SOUND),
    _row("WavLMModel", waveform(), **_SOUND),
    _row("Wav2Vec2ConformerModel", waveform(), position_embeddings_type="relative", **_SOUND),
    _row("ASTForAudioClassification", fixed(lambda: {"input_values": torch.randn(1, 64, 32)}), num_mel_bins=32,
        max_length=64, **_LAYERS),
    _row("WhisperForConditionalGeneration", _whisper, **_WHISPER),
    _row("WhisperForConditionalGeneration, one more token", decoder_step(_whisper), **_WHISPER),
    _row("WhisperForAudioClassification", _spectrogram(), "Whisper's encoder", **_WHISPER),
    _row("Speech2TextForConditionalGeneration", fixed(lambda: {"input_features": torch.randn(1, 100, 16),
        "decoder_input_ids": ids(8)}), input_feat_per_channel=16, conv_channels=32, **SEQ2SEQ),
    _row("EncodecModel", fixed(lambda: {"input_values": torch.randn(1, 1, 4800)}), num_filters=4, hidden_size=32,
        codebook_size=64, upsampling_ratios=[8, 4]),
    _row("VitsModel", tokens(16), "text to speech, whose length depends on what it says", **SMALL),
)
SERIES: Tuple[Architecture, ...] = (
    _row("PatchTSTForPrediction", fixed(lambda: {"past_values": torch.randn(1, 64, 3)}), context_length=64, d_model=32,
        num_input_channels=3, patch_length=8, patch_stride=8, prediction_length=8, ffn_dim=64, num_attention_heads=4),
)
SEVERAL: Tuple[Architecture, ...] = (
    _row("CLIPModel", _clip, **_CLIP_LIKE),
    _row("CLIPTextModel", tokens(77), "as Stable Diffusion uses it", **{**_TEXT, "max_position_embeddings": 77}),
    _row("SiglipModel", fixed(lambda: {"input_ids": ids(64, 2), "pixel_values": torch.randn(1, 3, 64, 64)}),
        text_config={**_TEXT, "projection_size": 64}, vision_config=_VIT),
    _row("BlipForConditionalGeneration", tokens(8, pixel_values=torch.ones(1, 3, 64, 64)), **_CLIP_LIKE),
    _row("OwlViTForObjectDetection", _clip, **{**_CLIP_LIKE, "projection_dim": 64}),
    _row("GroundingDinoForObjectDetection", fixed(lambda: {"input_ids": torch.tensor([[101, 7, 9, 1012, 8, 1012, 102]]),
        "pixel_values": torch.randn(1, 3, 128, 128)}), **{**_DETR, "backbone_config": {"model_type": "swin",
        **_FOUR_SWIN, **_LAST_THREE}}, text_config={"model_type": "bert", **SMALL, "vocab_size": 1100}),
    _row("Qwen2VLForConditionalGeneration", _qwen_image(), text_config=_QWEN_TEXT, **_QWEN_TOKENS,
        vision_config={**_QWEN_VISION, "embed_dim": 32, "hidden_size": 64, "mlp_ratio": 2}),
    _row("Qwen2_5_VLForConditionalGeneration", _qwen_image(), text_config=_QWEN_TEXT, **_QWEN_TOKENS,
        vision_config={**_QWEN_VISION, "hidden_size": 32, "intermediate_size": 64, "out_hidden_size": 64,
        "fullatt_block_indexes": [1], "window_size": 56}),
    _row("LlavaForConditionalGeneration", image_and_text(8, 500, 16, pixel_values=lambda: torch.randn(1, 3, 64, 64)),
        text_config=_LLAMA, vision_config={"model_type": "clip_vision_model", **_VIT}, image_token_index=500),
    _row("PaliGemmaForConditionalGeneration", image_and_text(8, 500, 16, pixel_values=lambda: torch.randn(1, 3, 64,
        64)), text_config={**_LLAMA, "model_type": "gemma", "head_dim": 16}, image_token_id=500, projection_dim=64,
        vision_config={"model_type": "siglip_vision_model", **_VIT}),
    _row("Idefics3ForConditionalGeneration", image_and_text(8, 500, 4, pixel_values=lambda: torch.randn(1, 1, 3, 64,
        64), pixel_attention_mask=lambda: torch.ones(1, 1, 64, 64, dtype=torch.bool)), image_token_id=500,
        scale_factor=2, text_config=_LLAMA, vision_config=_VIT),
    _row("SmolVLMForConditionalGeneration", image_and_text(8, 500, 4, pixel_values=lambda: torch.randn(1, 1, 3, 64, 64),
        pixel_attention_mask=lambda: torch.ones(1, 1, 64, 64, dtype=torch.bool)), image_token_id=500, scale_factor=2,
        text_config=_LLAMA, vision_config=_VIT),
    _row("Florence2ForConditionalGeneration", image_and_text(8, 500, 5, pixel_values=lambda: torch.randn(1, 3, 64, 64)),
        image_token_id=500, text_config={"model_type": "bart", **SEQ2SEQ}, vision_config={"projection_dim": 64,
        "depths": [1, 1, 1, 1], "embed_dim": [16, 16, 32, 32], "num_heads": [2, 2, 4, 4], "num_groups": [2, 2, 4, 4],
        "window_size": 4}),
    _row("VisionEncoderDecoderModel", fixed(lambda: {"pixel_values": torch.randn(1, 3, 64, 64), "decoder_input_ids":
        ids(8)}), "TrOCR", encoder={"model_type": "vit", **_VIT}, decoder={"model_type": "trocr", **SEQ2SEQ}),
    _row("LayoutLMv3Model", fixed(lambda: {"input_ids": ids(16), "attention_mask": torch.ones(1, 16, dtype=torch.int64),
        "bbox": _boxes(), "pixel_values": torch.randn(1, 3, 64, 64)}), input_size=64, coordinate_size=11, shape_size=10,
        **SMALL),
    _row("ClapModel", fixed(lambda: {"input_ids": ids(16), "attention_mask": torch.ones(1, 16, dtype=torch.int64),
        "input_features": torch.randn(1, 1, 64, 32), "is_longer": torch.tensor([[False]])}), text_config=SMALL,
        audio_config={"num_mel_bins": 32, "spec_size": 64, "patch_embeds_hidden_size": 16, "depths": [1, 1],
        "num_attention_heads": [2, 2], "window_size": 4, "hidden_size": 32, "patch_stride": [4, 4]}),
)
