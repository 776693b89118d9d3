"""Load a base model with a head of one score: as it is, or quantised to 4 bits (NF4).

What is not the encoder (pooler and classifier) is the head: it is trained whole and never
quantised, which on the CPU could not be trained at all.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from index.errors import InputError
from rerank.cross_encoder.memory_check import check_memory
from rerank.cross_encoder.quiet_libraries import quiet_libraries
from rerank.cross_encoder.settings import CrossEncoderSettings

_FULL_BYTES, _NF4_BYTES = 4.0, 0.56  # a weight; NF4 with its doubly quantised scales
_POOLER = "pooler"


def load_base(folder: Path, *, quantization: str, seed: int) -> Any:
    """Return a transformers model for sequence classification with one label, in fp32.

    Weights the folder lacks, such as the head's, are drawn from the seed.

    :param quantization: ``none``; or ``nf4``, for the encoder's linear layers.
    :raises InputError: if the folder holds no such model, or memory is too short.
    """
    import torch

    skeleton = _skeleton(folder)
    head = [name for name in _linear_names(skeleton) if in_head(name, skeleton)]
    quantised = quantization == "nf4"
    bytes_each = _NF4_BYTES if quantised else _FULL_BYTES
    count = sum(parameter.numel() for parameter in skeleton.parameters())
    check_memory(round(count * bytes_each), f"model {folder.name} ({count:,} weights)")
    options: dict[str, Any] = {"dtype": torch.float32}
    if quantised:
        options |= {"quantization_config": _nf4(head), "device_map": {"": "cpu"}}
    with quiet_libraries(), torch.random.fork_rng(devices=[]):
        from safetensors import SafetensorError
        from transformers import AutoModelForSequenceClassification

        torch.manual_seed(seed)
        try:
            model = AutoModelForSequenceClassification.from_pretrained(
                str(folder),
                num_labels=1,
                ignore_mismatched_sizes=True,
                local_files_only=True,
                **options,
            )
        except (OSError, ValueError, KeyError, RuntimeError, ImportError, SafetensorError) as exc:
            raise _unreadable(folder, exc) from exc
    if quantised:
        _compute_as_trained(model)
    return model.eval()


def load_tokenizer_json(folder: Path) -> tuple[str, int]:
    """Return the content of a model's ``tokenizer.json`` and the number of its padding token.

    :raises InputError: if it has no fast tokenizer, or none at all, for which transformers makes
        one that knows no word.
    """
    with quiet_libraries():
        from transformers import AutoTokenizer

        try:
            tokenizer = AutoTokenizer.from_pretrained(str(folder), local_files_only=True)
        except (OSError, ValueError, KeyError, ImportError) as exc:
            raise _unreadable(folder, exc) from exc
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None or tokenizer.pad_token_id is None:
        raise InputError(
            f"{folder}: expected a fast tokenizer with a padding token, found "
            f"{type(tokenizer).__name__}"
        )
    if not tokenizer.get_vocab().keys() - set(tokenizer.all_special_tokens):
        raise InputError(
            f"{folder}: expected a tokenizer with its words, such as tokenizer.json, found none; "
            "put the model's into the folder"
        )
    return backend.to_str(), int(tokenizer.pad_token_id)


def check_lengths(model: Any, settings: CrossEncoderSettings) -> None:
    """Check that a model has positions for the pairs.

    :raises InputError: if it has fewer.
    """
    config = model.config
    positions = getattr(config, "max_position_embeddings", None)
    if getattr(config, "model_type", "") in ("roberta", "xlm-roberta", "camembert"):
        positions -= config.pad_token_id + 1  # they count from behind the padding
    if positions is not None and 0 < positions < settings.lengths.pair:
        raise InputError(
            f"lengths.pair: the model {settings.model.name} reads at most {positions} tokens, "
            f"found {settings.lengths.pair}"
        )


def check_vocabulary(model: Any, tokenizer_json: str) -> None:
    """Check that a model has an embedding for each token of a tokenizer.

    :raises InputError: if it has not: the tokenizer is of another model.
    """
    from tokenizers import Tokenizer

    embedded = model.get_input_embeddings().num_embeddings
    tokens = Tokenizer.from_str(tokenizer_json).get_vocab()
    last = max(tokens, key=tokens.__getitem__)
    if tokens[last] >= embedded:
        raise InputError(
            f"expected a tokenizer of at most {embedded} tokens, as the model has, found "
            f"{last!r:.40} with the number {tokens[last]}; put the model's own into its folder"
        )


def reads_token_types(model: Any) -> bool:
    """Tell whether a model tells query and document apart by ``token_type_ids``."""
    return int(getattr(model.config, "type_vocab_size", 0) or 0) > 1


def in_head(name: str, model: Any) -> bool:
    """Tell whether a module, by its full name, is of the head: outside the encoder, or its pooler.

    A model that does not name its encoder has the modules ``classifier``, ``score`` and pooler.
    """
    parts = name.split(".")
    prefix = getattr(model, "base_model_prefix", "")
    if prefix and hasattr(model, prefix):
        return parts[0] != prefix or _POOLER in parts[1:2]
    return bool({"classifier", "score", _POOLER} & set(parts))


def encoder_linears(model: Any) -> list[str]:
    """Return the full names of the encoder's linear layers, which may get an adapter."""
    return [name for name in _linear_names(model) if not in_head(name, model)]


def head_modules(model: Any) -> list[str]:
    """Return the full names of the modules that are trained whole: the outermost of the head."""
    names: list[str] = []
    for name, module in model.named_modules():
        inside = any(name.startswith(f"{outer}.") for outer in names)
        if name and not inside and in_head(name, model) and any(True for _ in module.parameters()):
            names.append(name)
    return names


def dequantised(model: Any) -> Any:
    """Put ordinary layers with the same values in the place of 4-bit ones; return the model."""
    import torch
    from bitsandbytes.functional import dequantize_4bit
    from bitsandbytes.nn import Linear4bit

    for name, layer in list(model.named_modules()):
        if not isinstance(layer, Linear4bit):
            continue
        values = dequantize_4bit(layer.weight.data, layer.weight.quant_state).float()
        plain = torch.nn.Linear(layer.in_features, layer.out_features, layer.bias is not None)
        plain.weight.data = values.reshape(layer.out_features, layer.in_features)
        if layer.bias is not None:
            plain.bias.data = layer.bias.data.float()
        outer, _, last = name.rpartition(".")
        setattr(model.get_submodule(outer), last, plain)
    for attribute in ("is_loaded_in_4bit", "is_quantized", "hf_quantizer"):
        if hasattr(model, attribute):
            delattr(model, attribute)
    return model.eval()


def _skeleton(folder: Path) -> Any:
    """Return the model without weights: what its layers are called and how large they are."""
    import torch

    with quiet_libraries():
        from transformers import AutoConfig, AutoModelForSequenceClassification

        try:
            config = AutoConfig.from_pretrained(str(folder), num_labels=1, local_files_only=True)
            with torch.device("meta"):
                return AutoModelForSequenceClassification.from_config(config)
        except (OSError, ValueError, KeyError, RuntimeError, ImportError) as exc:
            raise _unreadable(folder, exc) from exc


def _linear_names(model: Any) -> list[str]:
    import torch

    return [n for n, module in model.named_modules() if isinstance(module, torch.nn.Linear)]


def _nf4(head: list[str]) -> Any:
    import torch
    from transformers import BitsAndBytesConfig

    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.float32,
        llm_int8_skip_modules=head,
    )


def _compute_as_trained(model: Any) -> None:
    """Keep 4-bit layers from another way of computing outside training.

    On processors with AVX512-BF16 bitsandbytes repacks weights at the first pass without
    gradients: scores change by up to 0.1, and training cannot go on.
    """
    from bitsandbytes.nn import Linear4bit

    for layer in model.modules():
        if isinstance(layer, Linear4bit):
            layer.support_avx512bf16_for_cpu = False


def _unreadable(folder: Path, exc: Exception) -> InputError:
    reason = (str(exc).splitlines() or [type(exc).__name__])[0]
    return InputError(
        f"{folder}: expected a model that transformers can give a head for sequence "
        f"classification, with its tokenizer; loading it failed ({reason})"
    )
