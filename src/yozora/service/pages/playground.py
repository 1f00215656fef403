"""The playground: a page whose script calls the public API, with a key of its own."""

from __future__ import annotations

import json
from typing import Any

from starlette.responses import Response

from yozora.service import ids, prices
from yozora.service.pages.web import Pages, Visit
from yozora.service.wishes import GUIDANCE, SEEDS, STEPS

pages = Pages()


@pages.get("/playground")
async def playground(visit: Visit) -> Response:
    """The page; what the models can do and cost goes with it."""
    models = [visit.service.models.describe(name) for name in visit.service.models.names]
    at = ids.now()

    def work(tx: Any) -> list[dict[str, Any]]:
        return [
            {
                "name": model.name, "sizes": model.sizes, "usual": model.usual, "longest": model.longest,
                "tasks": model.tasks, "costs": {size: cost(tx, model.name, size, at) for size in model.sizes},
            }
            for model in models
        ]  # fmt: skip

    known = json.dumps(await visit.service.read(work))
    return visit.show(
        "playground.html", models=models, known=known, steps=STEPS, guidance=GUIDANCE, seeds=SEEDS
    )


def cost(tx: Any, model: str, size: str, at: int) -> list[int]:
    """Micro-units of a video, and of each of its seconds."""
    none, one = (prices.price(tx, model, size, seconds, at)[0] for seconds in (0, 1))
    return [none, one - none]
