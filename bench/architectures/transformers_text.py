"""The text models of transformers: encoders, decoders with and without a cache, and encoder-decoders."""

from __future__ import annotations

from typing import Any, Iterator, Tuple

from .architecture import Architecture
from .hugging_face import (
    SEQ2SEQ,
    SMALL,
    Inputs,
    decode_step,
    decoder_step,
    hugging_face,
    state_step,
    tokens,
    translation,
)

_PROMPT, _STEP, _TRANSLATION = tokens(), decode_step(), translation()


def _small(name: str, inputs: Inputs = _PROMPT, about: str = "", **options: Any) -> Architecture:
    return hugging_face(name, inputs, about, **{**SMALL, **options})


def _seq2seq(name: str, inputs: Inputs = _TRANSLATION, about: str = "", **options: Any) -> Architecture:
    return hugging_face(name, inputs, about, **{**SEQ2SEQ, **options})


def _decoder(name: str, padded: bool = False, step: Inputs = _STEP, **options: Any) -> Iterator[Architecture]:
    """A decoder as it takes a prompt, padded on the left where asked for, and as it takes one more token."""
    yield _small(name, **options)
    yield _small(f"{name}, one more token", step, **options)
    if padded:
        yield _small(f"{name}, padded", tokens(batch=2, padding=7), **options)
        yield _small(f"{name}, padded, one more token", decode_step(batch=2, padding=7), **options)


_GQA: Any = {"num_key_value_heads": 2, "pad_token_id": 0}
_HEADS_OF_16: Any = {**_GQA, "head_dim": 16}
_EXPERTS: Any = {**_GQA, "num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 32}
_T5: Any = {"vocab_size": 512, "d_model": 64, "d_kv": 16, "d_ff": 128, "num_layers": 2, "num_heads": 4}
_LATENT: Any = {"q_lora_rank": 16, "kv_lora_rank": 16, "qk_rope_head_dim": 8, "v_head_dim": 16, "qk_nope_head_dim": 16}
_ROUTED: Any = {"n_routed_experts": 8, "num_experts_per_tok": 2, "n_group": 2, "topk_group": 1}
_MAMBA: Any = {"mamba_n_heads": 8, "mamba_d_head": 16, "mamba_d_ssm": 128, "mamba_d_state": 16, "mamba_chunk_size": 16}
_LOCAL: Any = {"sliding_window": 8, "layer_types": ["sliding_attention", "full_attention"]}

# fmt: off
ENCODERS: Tuple[Architecture, ...] = (
    _small("BertModel", tokens(types=True, encoding=True)),
    _small("BertForMaskedLM, padded", tokens(batch=2, padding=5, types=True)),
    _small("BertForSequenceClassification", tokens(types=True)),
    _small("RobertaModel", tokens(encoding=True)),
    _small("XLMRobertaForTokenClassification"),
    _small("DistilBertForSequenceClassification", dim=64, hidden_dim=128, n_layers=2, n_heads=4),
    _small("AlbertModel", tokens(types=True), embedding_size=16),
    _small("ElectraForPreTraining", tokens(types=True), embedding_size=32),
    _small("DebertaModel", relative_attention=True, pos_att_type=["c2p", "p2c"]),
    _small("DebertaV2Model", relative_attention=True, pos_att_type=["p2c", "c2p"], position_buckets=8,
        conv_kernel_size=3),
    _small("MPNetModel"),
    _small("XLNetModel", tokens(types=True), d_model=64, n_layer=2, n_head=4, d_inner=128),
    _small("ModernBertModel", global_attn_every_n_layers=2, local_attention=8, pad_token_id=0),
    _small("ModernBertForMaskedLM, padded", tokens(batch=2, padding=5), local_attention=8, pad_token_id=0),
    _small("LongformerModel", tokens(64), attention_window=[16, 16]),
    _small("BigBirdModel", tokens(128), block_size=8, num_random_blocks=2, max_position_embeddings=256),
    hugging_face("FunnelModel", tokens(), vocab_size=512, block_sizes=[1, 1], d_model=64, n_head=4, d_head=16,
        d_inner=128, num_decoder_layers=1),
    _small("MobileBertModel", intra_bottleneck_size=32, embedding_size=32, true_hidden_size=32),
    _small("FNetModel", tokens(types=True)),
    _small("ConvBertModel", embedding_size=64, conv_kernel_size=9, head_ratio=2),
    _small("RoFormerModel", tokens(types=True)),
    _small("ReformerModel", tokens(64), axial_pos_shape=[8, 8], axial_pos_embds_dim=[32, 32], feed_forward_size=128,
        attention_head_size=16, local_attn_chunk_length=16, lsh_attn_chunk_length=16, attn_layers=["local", "lsh"]),
    _small("NystromformerModel", tokens(64), num_landmarks=8, segment_means_seq_len=64),
    _small("SqueezeBertModel", embedding_size=64),
    _small("CanineModel", tokens(64, types=True), downsampling_rate=4, local_transformer_stride=16),
    _small("EsmModel", position_embedding_type="rotary", pad_token_id=1, mask_token_id=2, token_dropout=True),
    _small("XLMModel", emb_dim=64, n_layers=2, n_heads=4),
    _small("NomicBertModel"),
    _small("RemBertModel", input_embedding_size=32, output_embedding_size=64),
)
DECODERS: Tuple[Architecture, ...] = (
    *_decoder("GPT2LMHeadModel", padded=True),
    *_decoder("GPTNeoForCausalLM", num_layers=2, num_heads=4, attention_types=[[["global", "local"], 1]],
        window_size=8),
    *_decoder("GPTNeoXForCausalLM"),
    *_decoder("GPTJForCausalLM", n_embd=64, n_layer=2, n_head=4, rotary_dim=8),
    *_decoder("OPTForCausalLM", ffn_dim=128, word_embed_proj_dim=32, do_layer_norm_before=False),
    *_decoder("BloomForCausalLM", n_layer=2, n_head=4),
    _small("MptForCausalLM", d_model=64, n_layers=2, n_heads=4),
    _small("GPTBigCodeForCausalLM", multi_query=True),
    *_decoder("LlamaForCausalLM", padded=True, **_GQA),
    _small("LlamaForCausalLM, one more token, StaticCache", decode_step(static=True), **_GQA),
    *_decoder("MistralForCausalLM", sliding_window=16, **_GQA),
    *_decoder("MixtralForCausalLM", num_local_experts=4, **_GQA),
    *_decoder("Qwen2ForCausalLM", **_GQA),
    _small("Qwen2MoeForCausalLM", shared_expert_intermediate_size=64, **_EXPERTS),
    *_decoder("Qwen3ForCausalLM", **_HEADS_OF_16),
    *_decoder("Qwen3MoeForCausalLM", head_dim=16, **_EXPERTS),
    *_decoder("Qwen3NextForCausalLM", head_dim=16, shared_expert_intermediate_size=32, linear_num_value_heads=4,
        linear_num_key_heads=2, linear_key_head_dim=16, linear_value_head_dim=16, layer_types=["linear_attention",
        "full_attention"], **_EXPERTS),
    _small("GemmaForCausalLM", **_HEADS_OF_16),
    *_decoder("Gemma2ForCausalLM", query_pre_attn_scalar=16, sliding_window=8, **_HEADS_OF_16),
    *_decoder("Gemma3ForCausalLM", query_pre_attn_scalar=16, **_LOCAL, **_HEADS_OF_16),
    _small("PhiForCausalLM", partial_rotary_factor=0.5),
    *_decoder("Phi3ForCausalLM", **_GQA),
    _small("FalconForCausalLM", multi_query=True, parallel_attn=True),
    _small("FalconForCausalLM, ALiBi", alibi=True, multi_query=False, parallel_attn=False, bias=True),
    _small("StableLmForCausalLM", partial_rotary_factor=0.25, **_GQA),
    _small("Olmo2ForCausalLM", **_GQA),
    _small("OlmoeForCausalLM", num_experts=4, num_experts_per_tok=2, **_GQA),
    _small("CohereForCausalLM", use_qk_norm=True, **_GQA),
    _small("GraniteForCausalLM", **_GQA),
    _small("SmolLM3ForCausalLM", **_GQA),
    _small("Starcoder2ForCausalLM", **_GQA),
    *_decoder("GptOssForCausalLM", num_local_experts=4, num_experts_per_tok=2, **_LOCAL, **_HEADS_OF_16),
    *_decoder("DeepseekV3ForCausalLM", num_key_value_heads=4, first_k_dense_replace=1, moe_intermediate_size=32,
        **_LATENT, **_ROUTED),
    *_decoder("Lfm2ForCausalLM", layer_types=["conv", "full_attention"], **_GQA),
    *_decoder("MambaForCausalLM", step=state_step("cache_params"), state_size=8, pad_token_id=0),
    *_decoder("Mamba2ForCausalLM", step=state_step("cache_params"), num_heads=8, head_dim=16, state_size=16, n_groups=2,
        chunk_size=16, pad_token_id=0),
    _small("FalconH1ForCausalLM", **_MAMBA, **_GQA),
    _small("JambaForCausalLM", attn_layer_period=2, attn_layer_offset=1, expert_layer_period=2, num_experts=4,
        use_mamba_kernels=False, mamba_d_state=8, **_GQA),
    _small("Zamba2ForCausalLM", layers_block_type=["mamba", "hybrid"], mamba_d_state=16, mamba_headdim=16,
        n_mamba_heads=8, mamba_ngroups=1, chunk_size=16, num_mem_blocks=1, use_mamba_kernels=False, pad_token_id=0),
    _small("RecurrentGemmaForCausalLM", num_hidden_layers=3, lru_width=64, attention_window_size=8, **_HEADS_OF_16),
    _small("RwkvForCausalLM", attention_hidden_size=64),
    _small("RwkvForCausalLM, one more token", state_step("state"), attention_hidden_size=64),
)
ENCODER_DECODERS: Tuple[Architecture, ...] = (
    hugging_face("T5ForConditionalGeneration", translation(), **_T5),
    hugging_face("T5ForConditionalGeneration, padded", translation(batch=2, padding=5), **_T5),
    hugging_face("T5ForConditionalGeneration, one more token", decoder_step(translation()), **_T5),
    hugging_face("T5EncoderModel", tokens(), "as Stable Diffusion 3 and Flux use it", **_T5),
    hugging_face("MT5ForConditionalGeneration", translation(), feed_forward_proj="gated-gelu", **_T5),
    hugging_face("UMT5EncoderModel", tokens(), **_T5),
    hugging_face("LongT5ForConditionalGeneration", translation(64), local_radius=7, global_block_size=8,
        encoder_attention_type="transient-global", **_T5),
    hugging_face("SwitchTransformersForConditionalGeneration", translation(), num_sparse_encoder_layers=1,
        num_sparse_decoder_layers=1, num_experts=4, **_T5),
    _seq2seq("BartForConditionalGeneration"),
    _seq2seq("BartForConditionalGeneration, one more token", decoder_step(translation())),
    _seq2seq("MBartForConditionalGeneration"),
    _seq2seq("PegasusForConditionalGeneration"),
    _seq2seq("MarianMTModel", pad_token_id=0, decoder_start_token_id=0),
    _seq2seq("MarianMTModel, one more token", decoder_step(translation()), pad_token_id=0, decoder_start_token_id=0),
    _seq2seq("M2M100ForConditionalGeneration"),
    _seq2seq("LEDForConditionalGeneration", translation(64), attention_window=16),
    _seq2seq("BlenderbotSmallForConditionalGeneration"),
    hugging_face("ProphetNetForConditionalGeneration", translation(), vocab_size=512, hidden_size=64,
        decoder_ffn_dim=128, encoder_ffn_dim=128, num_encoder_layers=2, num_decoder_layers=2,
        num_encoder_attention_heads=4, num_decoder_attention_heads=4),
)
