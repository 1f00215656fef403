"""The OpenAPI document is what the service keeps to, whatever is sent."""

from __future__ import annotations

import re
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.specs.openapi.checks import (
    ignored_auth,
    negative_data_rejection,
    positive_data_acceptance,
)
from tests.service.api.conftest import Site

from yozora.service.api import document
from yozora.service.api.app import ROUTES

EXAMPLES = 40  # a route
# What fits the document is still refused where a file or a video that it names is not there; that no route answers
# without a key is tested with the tenants.
EXCLUDED = [positive_data_acceptance, ignored_auth]


@pytest.mark.parametrize(
    ("method", "path"),
    [(one.method, one.path) for one in ROUTES if "characters" not in one.path],  # 501, as is said
)
def test_no_500_and_no_broken_contract(method: str, path: str, sqlite_site: Site) -> None:
    described = schemathesis.openapi.from_url(f"{sqlite_site.address}/openapi.json")

    @settings(max_examples=EXAMPLES, database=None, suppress_health_check=list(HealthCheck))
    @given(
        case=st.one_of(
            described[path][method].as_strategy(generation_mode=mode) for mode in GenerationMode
        )
    )
    def check(case: Any) -> None:
        key = {"authorization": f"Bearer {sqlite_site.keys['a']}"}
        answer = case.call(headers=key)
        if answer.text != "Invalid HTTP request received.":  # the server's own, before any route
            # an empty list has no place in an address: nothing of what is wrong was sent
            lost = case.query and "?" not in str(answer.request.url)
            excluded = [*EXCLUDED, negative_data_rejection] if lost else EXCLUDED
            case.validate_response(answer, excluded_checks=excluded)

    check()


def test_every_route_is_described(sqlite_site: Site) -> None:
    said = sqlite_site.http(None).get("/openapi.json").json()
    assert said == document.write(ROUTES)
    found = {(m.upper(), path) for path, methods in said["paths"].items() for m in methods}
    assert found == {(one.method, one.path) for one in ROUTES}
    for path, methods in said["paths"].items():
        for method in methods.values():
            named = {p["name"] for p in method.get("parameters", []) if p["in"] == "path"}
            assert named == set(re.findall(r"\{(\w+)\}", path))
            assert method["description"] or method["summary"]
            assert {"400", "401", "429", "503"} <= set(method["responses"])


def test_references_lead_somewhere() -> None:
    said = document.write(ROUTES)
    names = re.findall(r"#/components/schemas/(\w+)", str(said))
    assert set(names) <= set(said["components"]["schemas"])
