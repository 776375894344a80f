"""How a sweep's models are looked at as they would be served: the `serving` section.

No part of a trial's key: it is measured on finished models and changes no result.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from embft.spec.base import Fields, as_tuple

DIMENSIONS = (256, 128, 64)


_Dimension = Annotated[int, Field(ge=1, le=1_000_000)]
Dimensions = Annotated[
    tuple[_Dimension, ...],
    BeforeValidator(as_tuple, json_schema_input_type=tuple[_Dimension, ...]),
    Field(min_length=1),
]


class Serving(Fields):
    """Each kept model's embeddings are scored at these dimensions beside the whole, in float32, in
    8 bits and in one, as `embft compress` does, and its speed is measured.
    """

    dimensions: Dimensions = DIMENSIONS


def _on(value: Any) -> Any:
    """`true` is the section with its defaults, `false` none."""
    return {True: {}, False: None}[value] if isinstance(value, bool) else value


ShortServing = Annotated[
    Serving | None, BeforeValidator(_on, json_schema_input_type=bool | Serving | None)
]
