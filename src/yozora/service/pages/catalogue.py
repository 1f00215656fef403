"""The models: what each can do, whose footage it learnt from, what it costs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from starlette.responses import Response

from yozora.service import ids, prices
from yozora.service.pages.web import Pages, Refused, Visit
from yozora.service.wishes import Model

pages = Pages()


@pages.get("/models", "models:read")
async def listing(visit: Visit) -> Response:
    """All models that are served here."""
    models = [visit.service.models.describe(name) for name in visit.service.models.names]
    return visit.show("models.html", models=models)


@pages.get("/models/{name}", "models:read")
async def one(visit: Visit) -> Response:
    """A model's card."""
    name = visit.request.path_params["name"]
    if name not in visit.service.models.names:
        raise Refused("There is no such model here.", 404)
    model = visit.service.models.describe(name)
    at = ids.now()

    def work(tx: Any) -> dict[str, int]:
        return {size: prices.price(tx, name, size, model.usual, at)[0] for size in model.sizes}

    return visit.show(
        "model.html", model=model, cost=await visit.service.read(work), rights=part(model, "rights"),
        scores=part(model, "scores"), recipe=part(model, "recipe"), whole=json.dumps(dict(model.card), indent=2),
    )  # fmt: skip


def part(model: Model, name: str) -> Mapping[str, Any]:
    """A part of a model's card; empty when it has none."""
    found = model.card.get(name)
    return found if isinstance(found, Mapping) else {}
