"""Webhooks on the pages: made, looked at, sent again, disabled, by admins of their own organisation."""

from __future__ import annotations

import re

from tests.service.pages.conftest import Service

from yozora.service import ids, webhooks
from yozora.service.schema import outbox

URL = "https://receiver.example/yozora"


def test_a_webhook_from_its_making_to_its_end(service: Service) -> None:
    admin = service.browser("a-admin")
    page = admin.submit("/webhooks", url=URL, kinds=["video.failed"]).text
    found = re.search(r"<code>(whsec_[^<]+)</code>", page)
    assert found
    with service.database.write() as tx:
        (row,) = webhooks.listed(tx, service.orgs["a"])
        told = webhooks.enqueue(tx, row.org_id, "video.failed", {"id": "video_1"}, ids.now())
        tx.execute(outbox.update().values(next_at=None, attempts=14, answer="503"))
    assert row.kinds == ["video.failed"]
    assert f"/webhooks/{row.id}" in admin.get("/webhooks").text
    page = admin.get(f"/webhooks/{row.id}").text
    assert "given up" in page
    assert "503" in page
    assert found[1] not in page
    again = admin.submit(f"/webhooks/{row.id}/deliveries/{told[0]}/replay")
    assert again.status_code == 303
    assert "waiting" in admin.get(f"/webhooks/{row.id}").text
    assert admin.submit(f"/webhooks/{row.id}/disable").status_code == 303
    assert "disabled" in admin.get("/webhooks").text
    assert admin.submit(f"/webhooks/{row.id}/deliveries/{told[0]}/replay").status_code == 409
    for name, status in (("a-member", 403), ("b-owner", 404)):
        other = service.browser(name)
        for path in ("", f"/deliveries/{told[0]}/replay", "/disable"):
            there = f"/webhooks/{row.id}{path}"
            answer = other.submit(there) if path else other.get(there)
            assert answer.status_code == status, there
    assert "webhook.disable" in admin.get("/audit").text


def test_what_is_no_address_is_said_and_kept_in_the_form(service: Service) -> None:
    for url in ("ftp://x/", "http://127.0.0.1:22/", ""):
        answer = service.browser("a-owner").submit("/webhooks", url=url)
        assert answer.status_code == 422
        assert 'role="alert"' in answer.text
        assert f'value="{url}"' in answer.text
    assert service.browser("a-owner").submit("/webhooks", url=URL, kinds=["x"]).status_code == 422
