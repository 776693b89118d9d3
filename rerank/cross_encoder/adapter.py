"""Low-rank adapters on a base model, by peft: put on, saved with the head, loaded, merged."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from index.errors import InputError
from rerank.cross_encoder.base_model import encoder_linears, head_modules
from rerank.cross_encoder.quiet_libraries import quiet_libraries
from rerank.cross_encoder.settings import ALL_LINEAR, CrossEncoderSettings, LoraSettings

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
    """Write adapters and head: ``adapter_config.json`` and ``adapter_model.safetensors``."""
    with quiet_libraries():
        model.save_pretrained(str(folder), save_embedding_layers=False)
    (folder / _CARD).unlink(missing_ok=True)


def load_adapter(base: Any, folder: Path) -> Any:
    """Return a base model with saved adapters and their head."""
    with quiet_libraries():
        from peft import PeftModel

        return PeftModel.from_pretrained(base, str(folder)).eval()


def merged(model: Any) -> Any:
    """Return the plain model that a model with adapters on unquantised weights amounts to."""
    with quiet_libraries():
        return model.merge_and_unload().eval()


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
