"""Ray that has no time to start is started again, and then the user is given a sentence."""

from __future__ import annotations

import time
from typing import Any

import pytest
import ray
from ray._private import services
from ray._private.state import GlobalState

from embft.errors import EmbftError
from embft.scheduler import cluster

_LATE = "The current node timed out during startup. This could happen because some of the raylet …"


@pytest.mark.parametrize("late", [0, 2])
def test_a_slow_start_is_tried_again(monkeypatch: pytest.MonkeyPatch, late: int) -> None:
    """As a busy machine makes it: Ray waits for half a minute, and raises a bare exception."""
    tried: list[dict[str, Any]] = []

    def init(**settings: Any) -> None:
        tried.append(settings)
        if len(tried) <= late:
            raise Exception(_LATE)

    monkeypatch.setattr(ray, "init", init)
    cluster._start_own(2, "/tmp/somewhere")  # noqa: S108 - nothing is written
    assert len(tried) == late + 1
    assert all(settings["num_cpus"] == 2 for settings in tried)


def test_one_that_never_starts_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a traceback; whatever else Ray raises keeps its own."""

    def init(**_: Any) -> None:
        raise Exception(_LATE)

    monkeypatch.setattr(ray, "init", init)
    with pytest.raises(EmbftError, match="the same command then carries on"):
        cluster._start_own(2, "/tmp/somewhere")  # noqa: S108 - nothing is written

    def other(**_: Any) -> None:
        raise ValueError("another fault")

    monkeypatch.setattr(ray, "init", other)
    with pytest.raises(ValueError, match="another fault"):
        cluster._start_own(2, "/tmp/somewhere")  # noqa: S108 - nothing is written


def test_a_node_is_found_as_soon_as_it_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray looks for it once and then sleeps for a second. An error is Ray's own to explain."""
    looks: list[str] = []

    def node_table(_: object) -> list[dict[str, str]]:
        looks.append("look")
        if len(looks) == 5:
            raise RuntimeError("the server is gone")
        return [{"NodeID": "ours"}] if len(looks) == 3 else []

    def get_node(address: str, node: str) -> str:
        looks.append(node)
        return address

    monkeypatch.setattr(services, "get_node", get_node)
    monkeypatch.setattr(services, "_get_gcs_client_options", lambda address: address)
    monkeypatch.setattr(GlobalState, "_initialize_global_state", lambda *_: None)
    monkeypatch.setattr(GlobalState, "node_table", node_table)
    cluster._look_often.cache_clear()  # a test before this one may have had a Ray of its own
    cluster._look_often()
    cluster._look_often()
    began = time.monotonic()
    assert services.get_node("here", "ours") == "here"
    assert looks == ["look"] * 3 + ["ours"]
    assert services.get_node("here", "ours") == "here"
    assert looks[4:] == ["look", "ours"]
    assert time.monotonic() - began < 1
