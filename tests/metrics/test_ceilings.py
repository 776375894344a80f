"""The highest value of a rank correlation is that of scores in the labels' order."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from embft.metrics.ceilings import ceiling
from embft.metrics.weighted import FloatArray


@pytest.mark.parametrize(
    "label",
    [
        np.repeat([0.0, 1.0], 150),
        np.repeat([0.0, 1.0], [95, 5]),
        np.round(np.random.default_rng(0).random(200) * 5),
        np.arange(30.0),
    ],
)
def test_it_is_what_perfect_order_reaches(label: FloatArray) -> None:
    perfect = label + 1e-6 * np.arange(len(label))
    assert ceiling("spearman", label) == pytest.approx(stats.spearmanr(perfect, label).statistic)
    assert ceiling("kendall", label) == pytest.approx(stats.kendalltau(perfect, label).statistic)


def test_other_metrics_have_their_bound() -> None:
    label = np.repeat([0.0, 1.0], 10)
    assert ceiling("auc", label) == 1.0
    assert ceiling("margin", label) is None
    assert ceiling("spearman") == 1.0
    assert np.isnan(ceiling("spearman", np.ones(4)) or 0.0)
