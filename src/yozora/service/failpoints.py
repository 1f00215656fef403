"""Moments at which tests kill or stop a process: nothing happens anywhere else.

``YOZORA_FAILPOINTS`` names a folder. A file in it that is called as a failpoint says what befalls the first process
that gets there: "kill" (SIGKILL, as by the system when memory is short) or "stop" (SIGSTOP, as a machine that is
paused). Before that the file gets the number of the process as its suffix, so that it happens once.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path

ACTIONS = {"kill": "SIGKILL", "stop": "SIGSTOP"}


def reach(name: str) -> None:
    """Dies or stops here when the folder of failpoints says so."""
    if not (folder := os.environ.get("YOZORA_FAILPOINTS")):
        return
    trap = Path(folder, name)
    try:
        action = trap.read_text().strip()
        trap.rename(trap.with_suffix(f".{os.getpid()}"))
    except FileNotFoundError:
        return
    os.kill(os.getpid(), getattr(signal, ACTIONS[action]))
