"""The processes of a Ray of our own."""

from __future__ import annotations

import psutil

from embft.scheduler import settings

settings.configure(None)
from embft.scheduler.cluster import ray_cluster  # noqa: E402 - Ray reads its settings at import
from embft.spec import parse_spec  # noqa: E402

spec = parse_spec("name: a\ndata: {dataset: dating}\n")
with ray_cluster(spec.resources):
    below = psutil.Process().children(recursive=True)
    print(sorted(" ".join(p.cmdline()).split(" --")[0].split("/")[-1] for p in below))
