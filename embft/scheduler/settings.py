"""Ray's settings, which are environment variables that it reads when it is imported.

Does not import Ray: call `configure` before `embft.scheduler.cluster` is imported.
"""

from __future__ import annotations

import os
import secrets

_SETTINGS = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_worker_niceness": "0",  # Ray would run training at 15, behind everything else
    "RAY_prestart_worker_first_driver": "0",  # a process that nothing would ever run in
    "RAY_worker_oom_score_adjustment": "0",  # of all processes the kernel is to take a trial's
    "RAY_memory_monitor_refresh_ms": "0",  # budgets are the launcher's, trial by trial
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",  # a trial's record is its result
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TUNE_GLOBAL_CHECKPOINT_S": "inf",  # nobody reads Tune's own state, and it grows with trials
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
}


def configure(address: str | None) -> None:
    """Set what a Ray of our own (no address), or one that stands already, needs."""
    os.environ.update(_SETTINGS)
    if address is not None:
        # A process that has lost the head is ended by Ray itself after so many seconds: later than
        # `health.py` says so, and the report is written.
        os.environ.update({"RAY_gcs_rpc_server_reconnect_timeout_s": "600"})
    if address is None:
        # A token for this sweep alone: without one in the environment Ray would write one into
        # the home folder, and without any every user of the machine could send it work.
        os.environ.update(RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=secrets.token_hex(32))
        # Without clusters, Ray takes 127.0.0.1 for this machine, and listens there alone.
        os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
