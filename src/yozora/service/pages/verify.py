"""What is known of a file: who signed it, whether a byte was changed since, and which model made it."""

from __future__ import annotations

import shutil
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

SIGNING = "signing"  # folder of the service's data with what it signs by
pages = Pages()


@pages.get("/verify")
async def ask(visit: Visit) -> Response:
    """The form."""
    return visit.show("verify.html", found=None, name="")


@pages.post("/verify", back=ask)
async def verify(visit: Visit, given: Form) -> Response:
    """Examines a file, which is not kept."""
    sent = given.get("file")
    upload = sent.get("upload") if isinstance(sent, dict) else None
    if not isinstance(upload, Upload) or not upload.bytes:
        raise YozoraError("Choose a file first.")
    authority = visit.service.settings.data / SIGNING / "authority.pem"

    def work() -> dict[str, Any]:
        with TemporaryDirectory() as folder:
            suffix = Path(upload.name).suffix
            file = Path(folder) / f"file{suffix if suffix[1:].isalnum() else ''}"
            with open(file, "wb") as out:
                shutil.copyfileobj(upload.file, out)
            return examined(file, authority)

    return visit.show(
        "verify.html", found=await to_thread.run_sync(work, limiter=one_at_once()), name=upload.name
    )


@cache
def one_at_once() -> CapacityLimiter:
    """Examining takes a processor, so a process of the interface examines one file after the other."""
    return CapacityLimiter(1)
