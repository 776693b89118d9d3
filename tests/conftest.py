"""Fixtures: a dozen-model registry and everything small that is built from it."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

# Small models are slower on many threads, the more so while other tests run beside them: libraries
# read this when they are loaded, in processes that tests start as well.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
from hypothesis import HealthCheck
from hypothesis import settings as examples

from rerank.index.embedder import HashEmbedder
from rerank.index.records import GpuRecord
from rerank.index.text import descriptor
from rerank.index.vector_index import ExactIndex
from rerank.packs.gpu.registry import gpu_slug
from rerank.packs.gpu.retriever import Retriever

if TYPE_CHECKING:
    from rerank.model import RerankModel

MakeGpu = Callable[..., GpuRecord]

# Where many share a machine, inputs that are drawn slowly are no fault of a test.
examples.register_profile("shared", suppress_health_check=[HealthCheck.too_slow])
examples.load_profile("shared")

# A shell starts what is to run in the background with Ctrl-C ignored, and tests press it.
signal.signal(signal.SIGINT, signal.default_int_handler)


def _gpu(
    model: str,
    memory_gb: float,
    memory_type: str = "GDDR6",
    *,
    vendor: str = "NVIDIA",
    line: str = "GeForce",
    form: str = "PCIe",
    year: int = 2020,
    codenames: tuple[str, ...] = (),
    aliases: tuple[str, ...] = (),
    part_numbers: tuple[str, ...] = (),
) -> GpuRecord:
    return GpuRecord(
        gpu_id=gpu_slug(model, memory_gb=memory_gb, memory_type=memory_type, form_factor=form),
        model=model,
        vendor=vendor,
        line=line,
        generation="",
        memory_gb=memory_gb,
        memory_type=memory_type,
        form_factor=form,
        release_year=year,
        codenames=codenames,
        aliases=aliases,
        part_numbers=part_numbers,
    )


@pytest.fixture(scope="session", autouse=True)
def _made_once() -> Iterator[None]:
    """Make once what is a function of its content alone, not for each workspace that is opened.

    The words of a registry, the cues of a file and the bits of trees are more than half of what
    opening one costs, a third of a second, and tests open a thousand. Each index that is kept is
    measured on the same thousand generated listings.
    """
    from rerank import model
    from rerank.evaluation import gold
    from rerank.packs.gpu import cards, pack, retriever

    lexicon = lru_cache(8)(retriever.Lexicon)
    cues_of = lru_cache(2)(lambda content, path: load_cues(path))
    load_cues = pack.CueReader.load

    def cues(path: Path) -> object:
        return cues_of(path.read_bytes(), path) if path.is_file() else load_cues(path)

    generate = gold.bootstrap_gold
    gold_of = lru_cache(8)(lambda records, n, seed: tuple(generate(records, n, seed)))

    def bootstrap_gold(records: Sequence[GpuRecord], n: int, seed: int) -> list[object]:
        return list(gold_of(tuple(records), n, seed))

    with pytest.MonkeyPatch.context() as patch:
        for module in (gold, cards):
            patch.setattr(module, "bootstrap_gold", bootstrap_gold)
        patch.setattr(
            retriever, "Lexicon", lambda records, counted=None: lexicon(tuple(records), counted)
        )
        patch.setattr(pack.CueReader, "load", staticmethod(cues))
        patch.setattr(model, "QuickScorer", lru_cache(8)(model.QuickScorer))
        yield


@pytest.fixture(scope="session")
def make_gpu() -> MakeGpu:
    """Return a function that makes a record with a proper id from a few words."""
    return _gpu


@pytest.fixture(scope="session")
def tiny_registry() -> list[GpuRecord]:
    """A dozen models of three vendors, with siblings, variants, aliases and part numbers."""
    amd: dict[str, Any] = {"vendor": "AMD", "line": "Radeon"}
    return [
        _gpu("GeForce RTX 4060 Ti", 8, year=2023),
        _gpu("GeForce RTX 4060 Ti", 16, year=2023),
        _gpu("GeForce RTX 4060", 8, year=2023),
        _gpu("GeForce RTX 4080 SUPER", 16, "GDDR6X", year=2024, aliases=("4080S",)),
        _gpu("GeForce RTX 4080", 16, "GDDR6X", year=2022),
        _gpu("GeForce RTX 3080", 10, "GDDR6X"),
        _gpu("GeForce RTX 3080", 12, "GDDR6X", year=2022),
        _gpu("GeForce RTX 3080", 16, form="mobile", year=2021),
        _gpu("GeForce RTX 3080", 8, form="Max-Q", year=2021),
        _gpu("GeForce RTX 3080", 20, "GDDR6X", year=2021),
        _gpu("GeForce GTX 1060", 6, "GDDR5", year=2016, part_numbers=("P4-616",)),
        _gpu("GeForce GTX 1060", 3, "GDDR5", year=2016),
        _gpu("Quadro RTX 4000", 8, line="Quadro", year=2018),
        _gpu("RTX 4000 Ada", 20, line="RTX (pro)", year=2023),
        _gpu("A100", 40, "HBM2", line="Data Center"),
        _gpu("A100", 80, "HBM2e", line="Data Center", form="SXM4", year=2021),
        _gpu("Radeon RX 6600", 8, year=2021, **amd),
        _gpu("Radeon RX 6600 XT", 8, year=2021, **amd),
        _gpu("Radeon HD 7970", 3, "GDDR5", year=2012, **amd),
        _gpu("Arc A770", 16, vendor="Intel", line="Arc", year=2022),
        _gpu("Arc A770", 8, vendor="Intel", line="Arc", year=2022),
    ]


@pytest.fixture(scope="session")
def hash_embedder() -> HashEmbedder:
    """The embedder without training, small enough to be instant."""
    return HashEmbedder(128)


@pytest.fixture(scope="session")
def make_retriever(hash_embedder: HashEmbedder) -> Callable[[Sequence[GpuRecord]], Retriever]:
    """Return a function that makes an exact retriever over records."""

    def make(records: Sequence[GpuRecord]) -> Retriever:
        vectors = hash_embedder.encode([descriptor(record) for record in records])
        index = ExactIndex(hash_embedder.dimension)
        index.add(vectors)
        return Retriever(records, vectors, index, hash_embedder)

    return make


@pytest.fixture(scope="session")
def tiny_retriever(
    tiny_registry: list[GpuRecord], make_retriever: Callable[[Sequence[GpuRecord]], Retriever]
) -> Retriever:
    """An exact retriever over the tiny registry."""
    return make_retriever(tiny_registry)


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """The shipped data."""
    from rerank.index.records import shipped

    return shipped("registry").parent


LinearScorer = Callable[..., bytes]


@pytest.fixture(scope="session")
def linear_scorer() -> LinearScorer:
    """Return a function that makes an ONNX graph of a weighted sum of named features.

    It stands where trained trees do, so that scores and probabilities can be worked out by hand.
    """
    import numpy as np
    from onnx import TensorProto, helper, numpy_helper

    def make(names: Sequence[str], weights: dict[str, float], bias: float = 0.0) -> bytes:
        column = np.zeros((len(names), 1), np.float32)
        for name, weight in weights.items():
            column[list(names).index(name)] = weight
        graph = helper.make_graph(
            [
                helper.make_node("MatMul", ["features", "weights"], ["sum"]),
                helper.make_node("Add", ["sum", "bias"], ["scores"]),
            ],
            "linear",
            [helper.make_tensor_value_info("features", TensorProto.FLOAT, [None, len(names)])],
            [helper.make_tensor_value_info("scores", TensorProto.FLOAT, [None, 1])],
            [
                numpy_helper.from_array(column, "weights"),
                numpy_helper.from_array(np.array([bias], np.float32), "bias"),
            ],
        )
        opsets = [helper.make_opsetid("", 15)]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=8)
        return bytes(model.SerializeToString())

    return make


LinearModel = Callable[..., "RerankModel"]


@pytest.fixture(scope="session")
def linear_model(linear_scorer: LinearScorer) -> LinearModel:
    """Return a function that makes a model of weights: of a candidate's features, of an offer's.

    Probabilities are (log-odds + 4) / 8, from 0 to 1; .8 is a match and .3 a review.
    """
    from rerank.calibration import Calibrator
    from rerank.model import FeatureRanker, OnnxTrees, RerankModel
    from rerank.packs.gpu.candidates import CANDIDATE_FEATURES
    from rerank.packs.gpu.offers import OFFER_FEATURES
    from rerank.resolution import Thresholds

    def make(ranker: dict[str, float], offer: dict[str, float], bias: float = 0.0) -> RerankModel:
        return RerankModel(
            ranker_text="",
            ranker=FeatureRanker(OnnxTrees(linear_scorer(CANDIDATE_FEATURES, ranker))),
            offer_text="",
            offer=OnnxTrees(linear_scorer(OFFER_FEATURES, offer, bias)),
            calibrator=Calibrator((-4.0, 4.0), (0.0, 1.0)),
            thresholds=Thresholds(match=0.8, review=0.3, precision=0.99),
            version="model-1",
        )

    return make


@pytest.fixture(scope="session")
def tiny_bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a random BERT of 2 layers, 32 wide, with a word piece vocabulary of its own."""
    import torch
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("tiny_bert")
    special = {name: f"[{name.upper()}]" for name in ("pad", "unk", "cls", "sep", "mask")}
    words = "geforce radeon rtx gtx rx arc quadro ti super xt gb card nvidia amd intel".split()
    tokens = [*special.values(), *words, *"0123456789", *(f"##{digit}" for digit in "0123456789")]
    pieces = Tokenizer(models.WordPiece({t: at for at, t in enumerate(tokens)}, unk_token="[UNK]"))
    pieces.normalizer = normalizers.BertNormalizer()
    pieces.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    pieces.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    PreTrainedTokenizerFast(
        tokenizer_object=pieces, **{f"{name}_token": text for name, text in special.items()}
    ).save_pretrained(str(folder))
    config = BertConfig(
        vocab_size=len(tokens),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=64,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        BertModel(config).save_pretrained(str(folder))
    return folder
