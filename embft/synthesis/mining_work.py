"""What the process of a mining does: models, vectors, the miner, the estimate."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sentence_transformers import CrossEncoder, SentenceTransformer
from threadpoolctl import threadpool_limits
from transformers.utils import logging as transformers_logging

from embft.data.column import TextColumn
from embft.data.pairs import Pairs
from embft.data.retrieval import TextSet
from embft.encoding.encoder import encode
from embft.errors import ModelError
from embft.evaluation.corpus import PART, encode_corpus, unit
from embft.models.base import default_device, load_base, use_device
from embft.models.trained import load_trained
from embft.results.folders import MiningDir
from embft.spec import ModelSpec
from embft.spec.negatives import NegativesSpec
from embft.spec.sides import Side
from embft.storage.seal import unsealed
from embft.synthesis.false_negatives import estimate, finding
from embft.synthesis.hard_negatives import Encoded, Question, Vectors, mine, with_negatives
from embft.synthesis.mining import write_mined
from embft.synthesis.mining_progress import Teller, Told

_KEPT = 500  # scores of a cross-encoder that are on disk at the latest after as many


def work(folder: MiningDir, threads: int) -> None:
    """Mine what the folder's job asks for, and keep it there. Raises EmbftError."""
    torch.set_num_threads(threads)
    threadpool_limits(threads)
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    job = unsealed(folder.job_file)
    rule = NegativesSpec.model_validate_json(json.dumps(job["rule"]))
    use_device(job["source"]["device"])
    train = Pairs.read(folder.train_file)
    question = Question.of(train, _texts(folder.pool_file))
    told, shared = Teller(folder.progress_file), folder.path.parent / job["shared"]
    encoded = _encoded(_model(job["source"]), question, train, shared, told)
    judge = _judge(job["source"]["judge"], folder.path.parent / str(job["judged"]))
    taken = mine(question, encoded, rule, job["seed"], judge, told)
    if judge is not None:
        judge.keep()
    made, drawn = with_negatives(train, question, taken, rule, job["seed"])
    guessed = estimate(question, None if judge else encoded, rule, taken)
    write_mined(folder, made, finding(guessed, rule, drawn, len(made), len(train)))


def _texts(path: Path) -> Iterator[str]:
    import pyarrow.parquet as pq

    yield from TextColumn(pq.ParquetFile(path), "text")


def _model(source: dict[str, Any]) -> SentenceTransformer:
    if "trial" in source:
        return load_trained(source["trial"])
    spec = ModelSpec.model_validate_json(json.dumps(source["model"]))
    return load_base(Path(source["base"]), spec)


def _encoded(
    model: SentenceTransformer, question: Question, train: Pairs, folder: Path, told: Told
) -> Encoded:
    """The vectors of queries and texts, each on its side. folder: of those of many texts."""
    first, second = train.sides[:2]
    queries = _vectors(model, question.queries, first, partial(told, "encoding queries"))
    of_texts = partial(told, "encoding texts")
    if second != "document":
        return Encoded(queries, _vectors(model, question.texts, second, of_texts))
    names = [str(number) for number in range(len(question.texts))]
    corpus = TextSet(names, question.texts)
    found = encode_corpus(model, corpus, folder, lambda done, total, _: of_texts(done, total))
    vectors = found.vectors
    if isinstance(vectors, Path):
        vectors = np.memmap(vectors, np.float32, "c", shape=found.shape)
    return Encoded(queries, vectors)


def _vectors(
    model: SentenceTransformer,
    texts: Sequence[str],
    side: Side,
    told: Callable[[int, int], None],
) -> Vectors:
    parts = list[Vectors]()
    for start in range(0, len(texts), PART):
        told(start, len(texts))
        parts.append(encode(model, texts[start : start + PART], side))
    found = np.concatenate(parts)
    if not np.isfinite(found).all():
        raise ModelError("the embeddings of the model that mines are not finite numbers")
    return unit(found)


def _judge(folder: str | None, kept: Path) -> Remembered | None:
    if folder is None:
        return None
    try:
        model = CrossEncoder(folder, device=default_device(), local_files_only=True)
    except (OSError, ValueError, KeyError) as error:
        reason = " ".join(str(error).split())[:300]
        raise ModelError(f"{folder}: no cross-encoder can be loaded from here: {reason}") from None
    if model.num_labels != 1:
        raise ModelError(
            f"{folder}: this cross-encoder gives {model.num_labels} numbers for a pair; one that "
            "gives a single score is needed"
        )
    return Remembered(model, kept)


class Remembered:
    """A cross-encoder whose scores are kept in a file, so that a mining that was killed goes on."""

    def __init__(self, model: Any, path: Path) -> None:
        self.model, self.path = model, path
        self._scores: dict[tuple[str, str], float] = dict(self._read())
        self._new = list[str]()

    def _read(self) -> Iterator[tuple[tuple[str, str], float]]:
        try:
            whole = self.path.read_bytes()
        except FileNotFoundError:
            return
        whole = whole[: whole.rfind(b"\n") + 1]
        self.path.write_bytes(whole)  # without the line that a kill has cut
        for line in whole.decode().splitlines():
            query, text, score = json.loads(line)
            yield (query, text), float(score)

    def predict(self, pairs: Sequence[tuple[str, str]], **options: Any) -> torch.Tensor:
        """A score of each pair of query and text."""
        missing = [pair for pair in dict.fromkeys(pairs) if pair not in self._scores]
        if missing:
            options = {**options, "convert_to_tensor": True, "show_progress_bar": False}
            found = self.model.predict(missing, **options).float().cpu().tolist()
            self._scores.update(zip(missing, found, strict=True))
            self._new += [json.dumps([*pair, s]) for pair, s in zip(missing, found, strict=True)]
        if len(self._new) >= _KEPT:
            self.keep()
        return torch.tensor([self._scores[pair] for pair in pairs])

    def keep(self) -> None:
        """Add what is new to the file, on disk before this returns."""
        with self.path.open("a", encoding="utf-8") as file:
            file.writelines(f"{line}\n" for line in self._new)
            file.flush()
            os.fsync(file.fileno())
        self._new.clear()
