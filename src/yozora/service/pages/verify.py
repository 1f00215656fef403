"""What is known of a file: who signed it, whether a byte was changed since, and which model made it."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from anyio import CapacityLimiter, to_thread
from starlette.responses import Response

from yozora.errors import YozoraError
from yozora.service.pages.examination import examined
from yozora.service.pages.web import Form, Pages, Visit
from yozora.service.wishes import Upload

LATEST = 4_102_444_800_000  # ms: what a manifest says to be later than 2099 is no time
pages = Pages()


@pages.get("/verify")
async def ask(visit: Visit) -> Response:
    """The form."""
    return visit.show("verify.html", found=None, name="", latest=LATEST)


@pages.post("/verify", back=ask)
async def verify(visit: Visit, given: Form) -> Response:
    """Examines a file, which is not kept."""
    sent = given.get("file")
    upload = sent.get("upload") if isinstance(sent, dict) else None
    if not isinstance(upload, Upload) or not upload.bytes:
        raise YozoraError("Choose a file first.")
    authority = visit.service.settings.credentials / "authority.pem"

    def work() -> Mapping[str, Any]:
        with TemporaryDirectory() as folder:
            suffix = Path(upload.name).suffix
            file = Path(folder) / f"file{suffix if suffix[1:].isalnum() else ''}"
            with open(file, "wb") as out:
                shutil.copyfileobj(upload.file, out)
            return examined(file, authority.absolute(), Path(folder))

    return visit.show(
        "verify.html", found=await to_thread.run_sync(work, limiter=one_at_once()), name=upload.name, latest=LATEST
    )  # fmt: skip


@cache
def one_at_once() -> CapacityLimiter:
    """Examining takes a processor, so a process of the interface examines one file after the other."""
    return CapacityLimiter(1)
