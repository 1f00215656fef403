from __future__ import annotations

import json
import logging

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from prometheus_client.parser import text_string_to_metric_families
from tests.service.api.conftest import Site

from yozora.service import tracing
from yozora.service.logs import Lines

SECRET = "nobody is to read these words"


def figures(site: Site) -> dict[tuple[str, ...], float]:
    key = site.key("a", scopes=["admin"], models=None, expires_at=None)
    answer = site.http(None).get("/metrics", headers={"authorization": f"Bearer {key}"})
    assert answer.status_code == 200
    return {
        (sample.name, *(f"{k}={v}" for k, v in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def test_figures_follow_what_happens(site: Site) -> None:
    assert ("yozora_videos_open", "model=nano", "status=queued") not in figures(site)
    http = site.http()
    video = http.post("/v1/videos", json={"prompt": SECRET}).json()["id"]
    for _ in range(3):
        http.get(f"/v1/videos/{video}")
    http.get("/v1/videos/video_none")
    http.get("/no/such/place")
    now = figures(site)
    assert now["yozora_videos_open", "model=nano", "status=queued"] == 1
    assert now["yozora_holds_open",] == 1
    assert now["yozora_queue_oldest_seconds", "model=nano"] >= 0
    counted = {k: v for k, v in now.items() if k[0] == "yozora_requests_total"}
    assert (
        counted["yozora_requests_total", "method=GET", "route=/v1/videos/{video_id}", "status=200"]
        == 3
    )
    assert (
        counted["yozora_requests_total", "method=GET", "route=/v1/videos/{video_id}", "status=404"]
        == 1
    )
    assert counted["yozora_requests_total", "method=GET", "route=none", "status=404"] == 1
    site.work()
    assert ("yozora_videos_open", "model=nano", "status=queued") not in figures(site)


def test_methods_that_a_client_makes_up_are_one(site: Site) -> None:
    for name in ("BREW", "XYZ"):
        site.http().request(name, "/v1/videos")
    methods = {one for key in figures(site) for one in key if one.startswith("method=")}
    assert "method=other" in methods
    assert not {"method=BREW", "method=XYZ"} & methods


def test_figures_are_for_admins(site: Site) -> None:
    http = site.http(None)
    assert http.get("/metrics").status_code == 401
    key = site.key("a", scopes=["videos:read"], models=None, expires_at=None)
    assert http.get("/metrics", headers={"authorization": f"Bearer {key}"}).status_code == 403


def test_logs_and_spans_tell_neither_words_nor_keys(
    sqlite_site: Site, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = sqlite_site  # once: a process has one provider of traces
    spans = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(spans))
    trace.set_tracer_provider(provider)
    monkeypatch.setattr(tracing, "sent", True)
    with caplog.at_level(logging.INFO):
        answer = site.http().post("/v1/videos", json={"prompt": SECRET})
    form = Lines()
    mine = [record for record in caplog.records if record.name.startswith("yozora")]
    lines = [json.loads(form.format(record)) for record in mine]
    (line,) = [one for one in lines if one["logger"] == "yozora.requests"]
    assert line["message"] == "POST /v1/videos 200"
    assert line["request"] == answer.headers["x-request-id"]
    assert line["ms"] > 0
    (span,) = spans.get_finished_spans()
    assert dict(span.attributes or {}) == {"method": "POST", "request": line["request"]}
    secrets = (SECRET, site.keys["a"], site.keys["a"].rpartition("_")[2])
    everything = json.dumps(lines) + "".join(one.to_json() for one in spans.get_finished_spans())
    assert not any(secret in everything for secret in secrets)


def test_an_error_is_one_line(caplog: pytest.LogCaptureFixture) -> None:
    try:
        raise ValueError("two\nlines")
    except ValueError:
        logging.getLogger("yozora.x").exception("it went wrong")
    text = Lines().format(caplog.records[-1])
    assert "\n" not in text
    assert "two\\nlines" in text
