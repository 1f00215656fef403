"""What is known of a stranger's file, found out in a process of its own that may use so much time and memory.

python -m yozora.service.pages.examination FILE AUTHORITY is that process; it prints a line of JSON.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from yozora.errors import YozoraError

SECONDS = 30  # of processor time
PATIENCE = 180.0  # seconds by the clock, also when others work
MEMORY = 4 * 2**30  # bytes of address space
OUTPUT = 2**20  # bytes of the answer that are read


def examined(file: Path, authority: Path) -> dict[str, Any]:
    """`provenance.examine` as a mapping. Raises YozoraError when the process did not live to say anything."""
    command = [sys.executable, "-m", __name__, str(file), str(authority)]
    try:
        done = subprocess.run(
            command, capture_output=True, timeout=PATIENCE, stdin=subprocess.DEVNULL, check=True
        )
        found: dict[str, Any] = json.loads(done.stdout[:OUTPUT])
    except (subprocess.SubprocessError, ValueError) as error:
        raise YozoraError(
            "This file could not be examined: it takes too much time or memory, or it is damaged."
        ) from error
    return found


def main(file: Path, authority: Path) -> None:
    """Examine a file, within the limits."""
    for what, most in ((resource.RLIMIT_CPU, SECONDS), (resource.RLIMIT_AS, MEMORY)):
        resource.setrlimit(what, (most, most))
    from yozora.service.provenance import examine

    known = authority.read_bytes() if authority.exists() else b""
    print(json.dumps(asdict(examine(file, known)), default=str))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
