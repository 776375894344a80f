"""How Ray Tune is imported."""

from __future__ import annotations

from tests.helpers.commands import program


def test_ray_tune_comes_without_ray_data_and_pandas() -> None:
    """Each sweep would import them twice."""
    program("ray_tune_alone")
