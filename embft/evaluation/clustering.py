"""MTEB's clustering: k-means of draws of labelled texts, and how well it finds their labels."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, ClassVar, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from embft.data.labelled import Labelled
from embft.evaluation.context import Context, Estimate, Found
from embft.evaluation.labelled import OnLabelledTexts, by_split
from embft.metrics.metric import SHARE, Metric
from embft.metrics.weighted import FloatArray
from embft.results.units import UnitValues
from embft.system.light_import import import_sklearn


class Clustering(OnLabelledTexts):
    """MTEB's clustering: draws of texts, k-means with as many clusters as labels, v-measure.

    fraction: the share of the texts that is embedded. draw_size: texts of each draw, taken with
    replacement; `all`: every text once, and another seed of k-means for each draw. batch_size: of
    the mini-batch k-means.
    """

    fraction: float = Field(default=1.0, gt=0, le=1)
    draws: int = Field(default=10, ge=1, le=1000)
    draw_size: Literal["all"] | Annotated[int, Field(ge=2)] = 16_384
    batch_size: int = Field(default=512, ge=1)
    seed: int = Field(default=42, ge=0, lt=2**32)

    declared: ClassVar = (
        Metric(
            "v_measure",
            "V-measure",
            "2 homogeneity x completeness / (homogeneity + completeness)",
            bounds=SHARE,
            source="Rosenberg and Hirschberg (2007)",
            computed_by="clustering",
            objective=True,
        ),
        Metric(
            "v_measure_spread",
            "Spread of v-measure",
            "sd over draws of texts, ddof 1",
            direction=None,
            computed_by="clustering",
        ),
    )

    def run(self, context: Context, folder: Path | None) -> dict[str, Found]:
        """v_measure and its spread, the sd over draws (ddof 1), of each file that is asked for."""
        return by_split(lambda path: self._score(path, context), folder, context)

    def _score(self, path: Path, context: Context) -> Found:
        from embft.encoding.encoder import encode

        texts = Labelled.read(path)
        draw = random.Random(self.seed)  # noqa: S311 - MTEB's own generator
        rows = _fraction(len(texts.texts), self.fraction, draw)
        labels = [texts.labels[i] for i in rows]
        embeddings = encode(context.model, [texts.texts[i] for i in rows])
        if not np.isfinite(embeddings).all():
            return {"v_measure": "embeddings are not finite numbers"}
        found = v_measures(embeddings, labels, self, draw)
        spread = float(np.std(found, ddof=1)) if len(found) > 1 else "one draw has no spread"
        by_draw = UnitValues("draw", tuple(map(str, range(len(found)))), found)
        value = Estimate(float(np.mean(found)), None, by_draw)
        return {"v_measure": value, "v_measure_spread": spread}


def _fraction(count: int, fraction: float, draw: random.Random) -> Sequence[int]:
    if fraction == 1.0:
        return range(count)
    return draw.sample(range(count), k=max(2, int(fraction * count)))


def v_measures(
    embeddings: npt.NDArray[np.floating],
    labels: Sequence[str],
    spec: Clustering,
    draw: random.Random | None = None,
) -> FloatArray:
    """The v-measure of each draw's mini-batch k-means, shape (draws,).

    `embeddings` (n, width), as the model gives them; `labels` (n,), as many clusters as there are
    different ones (Rosenberg and Hirschberg, 2007, for the measure).
    """
    import_sklearn("cluster")
    from sklearn.cluster import MiniBatchKMeans
    from sklearn.metrics import v_measure_score

    generator = draw or random.Random(spec.seed)  # noqa: S311 - as above
    classes = np.asarray(labels)
    scores = []
    for number in range(spec.draws):
        rows: Sequence[int] = range(len(classes))
        seed = spec.seed + number
        if spec.draw_size != "all":
            rows, seed = generator.choices(range(len(classes)), k=spec.draw_size), spec.seed
        model = MiniBatchKMeans(
            len(np.unique(classes)),
            batch_size=spec.batch_size,
            init="k-means++",
            n_init=1,
            random_state=seed,
        )
        chosen = np.asarray(rows)
        scores.append(v_measure_score(classes[chosen], model.fit_predict(embeddings[chosen])))
    return np.array(scores)
