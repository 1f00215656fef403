"""Moments at which tests kill or stop a process: nothing happens anywhere else.

``YOZORA_FAILPOINTS`` names a folder. A file in it that is called as a failpoint says what befalls the first process
that gets there: "kill" (SIGKILL, as by the system when memory is short) or "stop" (SIGSTOP, as a machine that is
paused). The file is taken away first, so that it happens once.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path

ACTIONS = {"kill": "SIGKILL", "stop": "SIGSTOP"}
NAMES = (
    "after-reserve",
    "after-claim",
    "mid-denoise",
    "after-rename",
    "before-settle",
    "after-settle",
    "before-webhook",
    "after-finish",
    "before-forward",
    "after-forward",
)


def reach(name: str) -> None:
    """Dies or stops here when the folder of failpoints says so."""
    if not (folder := os.environ.get("YOZORA_FAILPOINTS")):
        return
    trap = Path(folder, name)
    try:
        action = trap.read_text().strip()
        trap.unlink()
    except FileNotFoundError:
        return
    os.kill(os.getpid(), getattr(signal, ACTIONS[action]))
