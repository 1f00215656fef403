"""Prompts that are refused, as a client sees it."""

from __future__ import annotations

from tests.service.api.conftest import Site


def test_a_prompt_that_is_refused_is_an_error_with_a_code_and_costs_nothing(site: Site) -> None:
    answer = site.http().post("/v1/videos", json={"model": "nano", "prompt": "hard porn"})
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["param"]) == (
        400,
        "moderation_blocked",
        "prompt",
    )
    assert site.http().get("/v1/videos").json()["data"] == []
