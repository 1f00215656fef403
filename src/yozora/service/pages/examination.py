"""What is known of a stranger's file, found out in a process of its own, as limited as the one that decodes uploads.

python -m yozora.service.pages.examination FILE AUTHORITY LIMITS is that process; it prints a line of JSON.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from yozora.errors import YozoraError
from yozora.service.intake import LIMITS, IntakeError, Limits, answered, confine

COSTS = replace(LIMITS, seconds=30, patience=180.0, memory=4 * 2**30)


def examined(file: Path, authority: Path, scratch: Path) -> Mapping[str, Any]:
    """`provenance.examine` as a mapping. Raises YozoraError when the process did not live to say anything."""
    try:
        return answered(__name__, [str(file), str(authority)], scratch, COSTS)
    except IntakeError as error:
        raise YozoraError(
            "This file could not be examined: it takes too much time or memory, or it is damaged."
        ) from error


def main(file: Path, authority: Path, limits: Limits) -> None:
    """Examine a file, within the limits."""
    confine(limits)
    from yozora.service.provenance import examine

    known = authority.read_bytes() if authority.exists() else b""
    print(json.dumps(asdict(examine(file, known)), default=str))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), Limits(**json.loads(sys.argv[3])))
