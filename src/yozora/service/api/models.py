"""/v1/models: what can be asked of each model, what it costs, and what it was made from."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection
from starlette.requests import Request
from starlette.responses import Response

from yozora.service import ids, prices
from yozora.service.api import document, shown
from yozora.service.api.document import Routes, says
from yozora.service.api.errors import missing
from yozora.service.api.service import of
from yozora.service.wishes import GUIDANCE, STEPS, Model

routes = Routes("models")


@routes.add("GET", "/v1/models", **says(document.Models))
async def listing(request: Request) -> Response:
    """The models that the key may use."""
    service = of(request)
    who = await service.identify(request, "models:read")
    models = service.offered(who).values()
    items = await service.read(lambda tx: [described(tx, model) for model in models])
    return shown.answer({"object": "list", "data": items})


@routes.add("GET", "/v1/models/{model}", **says(document.Model, 404))
async def retrieve(request: Request) -> Response:
    """A model."""
    service = of(request)
    who = await service.identify(request, "models:read")
    model = service.offered(who).get(request.path_params["model"])
    if model is None:
        raise missing("model")
    return shown.answer(await service.read(lambda tx: described(tx, model)))


def described(tx: Connection, model: Model) -> dict[str, Any]:
    """A model as the SDK reads it, and what we say besides. Prices are micro-units."""
    found = {size: prices.current(tx, model.name, size, ids.now()) for size in model.sizes}
    price = {
        size: {
            "per_second": one.per_second if one else 0,
            "per_video": one.per_video if one else 0,
        }
        for size, one in found.items()
    }
    return {
        "id": model.name,
        "object": "model",
        "created": model.created // 1000,
        "owned_by": "yozora",
        "capabilities": {
            "tasks": list(model.tasks),
            "sizes": list(model.sizes),
            "fps": model.fps,
            "seconds": {"usual": model.usual, "longest": model.longest},
            "steps": {"least": 1, "most": STEPS},
            "guidance": {"least": 0, "most": GUIDANCE},
        },
        "price": price,
        "rights": model.card.get("rights"),
        "scores": model.card.get("scores"),
        "bias": model.card.get("bias"),
    }
