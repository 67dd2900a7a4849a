"""How users call the models of transformers: what tokenizers, processors and `generate` hand them."""

from __future__ import annotations

from importlib import import_module
from typing import Any, Callable, Dict

import torch

from .architecture import Architecture, Built, seeded

Inputs = Callable[[Any], Any]
"""What makes the example inputs of a model."""
VOCABULARY = 512
SMALL: Dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
}
SEQ2SEQ: Dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "d_model": 64,
    **{f"{side}_{what}": n for side in ("encoder", "decoder") for what, n in (("layers", 2), ("attention_heads", 4))},
    **{f"{side}_ffn_dim": 128 for side in ("encoder", "decoder")},
}


def hugging_face(name: str, inputs: Inputs, about: str = "", **options: Any) -> Architecture:
    """Returns the row of a class of transformers, which `name` starts with; `options` are of its configuration."""

    def make() -> Built:
        model_class = getattr(import_module("transformers"), name.split(",")[0])
        model = model_class(model_class.config_class(**options)).eval()
        return model, inputs(model)

    return seeded("transformers", name, make, about)


def ids(length: int, batch: int = 1) -> torch.Tensor:
    """Returns token ids, none of them special."""
    return torch.randint(10, VOCABULARY, (batch, length))


def tokens(
    length: int = 32, batch: int = 1, types: bool = False, padding: int = 0, encoding: bool = False, **more: Any
) -> Inputs:
    """What a tokenizer gives; `padding` is on the left of the first text of the batch, `more` is added."""

    def make(_model: Any) -> Any:
        found = {"input_ids": ids(length, batch), "attention_mask": torch.ones(batch, length, dtype=torch.int64)}
        found["attention_mask"][0, :padding] = 0
        if types:
            found["token_type_ids"] = torch.zeros_like(found["input_ids"])
        return import_module("transformers").BatchEncoding({**found, **more}) if encoding else {**found, **more}

    return make


def decode_step(cached: int = 32, static: bool = False, padding: int = 0, batch: int = 1) -> Inputs:
    """One more token after `cached` ones, whose keys and values a real run has left in the cache."""

    def make(model: Any) -> Any:
        inputs = tokens(cached, batch, padding=padding)(model)
        cache = import_module("transformers").StaticCache(model.config, max_cache_len=2 * cached) if static else None
        past = model(**inputs, past_key_values=cache, use_cache=True).past_key_values
        mask = torch.cat([inputs["attention_mask"], torch.ones(batch, 1, dtype=torch.int64)], 1)
        return {"input_ids": ids(1, batch), "attention_mask": mask, "past_key_values": past, "use_cache": True}

    return make


def state_step(name: str, cached: int = 32, **more: Any) -> Inputs:
    """One more token after `cached` ones, for the models that keep a state under their own name."""

    def make(model: Any) -> Any:
        return {
            "input_ids": ids(1),
            name: model(input_ids=ids(cached), use_cache=True)[name],
            "use_cache": True,
            **more,
        }

    return make


def translation(length: int = 24, target: int = 12, batch: int = 1, padding: int = 0) -> Inputs:
    """A source text and the target so far."""

    def make(model: Any) -> Any:
        return {**tokens(length, batch, padding=padding)(model), "decoder_input_ids": ids(target, batch)}

    return make


def decoder_step(source: Inputs, cached: int = 12) -> Inputs:
    """One more target token: the encoder's outputs and the cache as `generate` keeps them."""

    def make(model: Any) -> Any:
        inputs = source(model)
        encoded = model.get_encoder()(**{k: v for k, v in inputs.items() if not k.startswith("decoder_")})
        mask = {k: v for k, v in inputs.items() if k == "attention_mask"}
        past = model(encoder_outputs=encoded, decoder_input_ids=ids(cached), use_cache=True, **mask).past_key_values
        return {"encoder_outputs": encoded, "decoder_input_ids": ids(1), "past_key_values": past, **mask}

    return make


def pixels(size: int = 64, batch: int = 1, mask: bool = False, frames: int = 0, **more: Any) -> Inputs:
    """What an image processor gives; `more` is called with the batch, or is as it is."""

    def make(_model: Any) -> Any:
        found = {"pixel_values": torch.randn((batch, *([frames] if frames else []), 3, size, size))}
        if mask:
            found["pixel_mask"] = torch.ones(batch, size, size, dtype=torch.int64)
        return {**found, **more}

    return make


def waveform(samples: int = 8000, mask: bool = False) -> Inputs:
    """What a feature extractor for raw audio gives."""

    def make(_model: Any) -> Any:
        found = {"input_values": torch.randn(1, samples)}
        return {**found, "attention_mask": torch.ones(1, samples, dtype=torch.int64)} if mask else found

    return make


def fixed(make: Callable[[], Any]) -> Inputs:
    """The inputs that do not depend on the model."""
    return lambda _model: make()


def image_and_text(text: int, image_token: int, images: int, **more: Any) -> Inputs:
    """A prompt in which `images` placeholders stand for an image; `more` makes the image's tensors by name."""

    def make(_model: Any) -> Any:
        found = ids(text + images).clamp(max=VOCABULARY - 20)
        found[0, 2 : 2 + images] = image_token
        return {"input_ids": found, "attention_mask": torch.ones_like(found), **{k: v() for k, v in more.items()}}

    return make
