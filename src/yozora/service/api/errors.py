"""What a client is told when a request fails: ``{"error": {"message", "type", "param", "code"}}``, whatever it was."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from yozora.service.database import AWAY
from yozora.service.keys import Unauthorised
from yozora.service.limits import LimitReached
from yozora.service.moderation import Unjudged
from yozora.service.wishes import WishError

TYPES = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    409: "conflict_error",
    429: "rate_limit_error",
    500: "server_error",
    501: "not_implemented_error",
    503: "server_error",
}
CODES = {404: "not_found", 405: "method_not_allowed", 413: "too_large"}
SAID = {404: "There is nothing at this address.", 405: "This address does not take this method."}
RETRY = (408, 503)  # worth sending again as it was


class ApiError(Exception):
    """An answer other than success; ``wait`` is after how many seconds the same request may succeed."""

    def __init__(
        self,
        status: int,
        message: str,
        code: str,
        param: str | None = None,
        *,
        wait: float | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.code, self.param, self.wait = status, code, param, wait
        self.headers = dict(headers or {})


def missing(what: str = "video") -> ApiError:
    """There is no such thing, or it is another organisation's: nobody is told which."""
    return ApiError(404, f"There is no such {what}.", f"{what}_not_found")


def described(error: Exception) -> ApiError:
    """Any exception as an answer. What nobody expected says nothing of the inside."""
    match error:
        case ApiError():
            return error
        case WishError():
            return ApiError(400, str(error), error.code, error.param)
        case Unauthorised():
            return ApiError(
                401, str(error), "invalid_api_key", headers={"www-authenticate": "Bearer"}
            )
        case Unjudged():
            return ApiError(503, str(error), error.code, wait=1)
        case LimitReached():
            wait = error.wait / 1000 if error.wait is not None else None
            return ApiError(429, str(error), error.code, wait=wait)
        case HTTPException():
            said = SAID.get(error.status_code, str(error.detail))
            code = CODES.get(error.status_code, "invalid_request")
            return ApiError(error.status_code, said, code, headers=error.headers)
    if isinstance(error, AWAY):
        return ApiError(503, "The service is busy: try again soon.", "unavailable", wait=1)
    return ApiError(500, "Something went wrong here; it has been noted.", "internal_error")


def answer(error: ApiError) -> Response:
    """The response, which tells the SDK whether it is to try again."""
    kind = "insufficient_quota" if error.code == "budget_exceeded" else TYPES.get(error.status)
    body = {
        "message": str(error),
        "type": kind or "invalid_request_error",
        "param": error.param,
        "code": error.code,
    }
    headers = error.headers
    if error.wait is not None:
        headers |= {"retry-after": str(math.ceil(error.wait))}
    headers["x-should-retry"] = str(error.wait is not None or error.status in RETRY).lower()
    content = json.dumps({"error": body}, ensure_ascii=False).encode("utf-8", "replace")
    return Response(content, error.status, headers, "application/json")


async def handle(request: Request, error: Exception) -> Response:
    """The handler of all exceptions."""
    response = answer(described(error))
    if type(error) not in EXPECTED:  # such an answer goes past the middleware that names requests
        response.headers["x-request-id"] = request.scope.get("request_id", "")
    return response


EXPECTED = (ApiError, WishError, Unauthorised, Unjudged, LimitReached, *AWAY)
