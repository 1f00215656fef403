"""The contract, as the unmodified SDK of its inventor sends and reads it."""

from __future__ import annotations

import warnings

import openai
import pytest
from tests.service.api.conftest import Site

warnings.filterwarnings("ignore", category=DeprecationWarning, module="tests.*")
pytestmark = pytest.mark.filterwarnings("ignore:The Sora API:DeprecationWarning")


def test_a_video_from_its_creation_to_its_deletion(site: Site) -> None:
    sdk = site.sdk()
    made = sdk.videos.create(prompt="a red ball falls", model="nano", seconds="2", size="112x64")
    assert (made.status, made.progress, made.model, made.seconds) == ("queued", 0, "nano", "2")
    assert set(made.model_fields_set) >= set(type(made).model_fields)  # all keys are there
    site.work()
    done = sdk.videos.retrieve(made.id)
    assert (done.status, done.progress, done.error) == ("completed", 100, None)
    assert done.completed_at is not None
    assert done.expires_at is not None
    for variant, starts in {
        "video": b"ftyp",
        "thumbnail": b"RIFF",
        "spritesheet": b"\xff\xd8",
    }.items():
        content = sdk.videos.download_content(made.id, variant=variant)
        assert starts in content.read()[:12]
    gone = sdk.videos.delete(made.id)
    assert (gone.id, gone.deleted, gone.object) == (made.id, True, "video.deleted")
    with pytest.raises(openai.NotFoundError):
        sdk.videos.retrieve(made.id)


def test_a_list_in_pages(site: Site) -> None:
    sdk = site.sdk()
    made = [sdk.videos.create(prompt=str(i)).id for i in range(5)]
    assert [v.id for v in sdk.videos.list(limit=2)] == made[::-1]
    assert [v.id for v in sdk.videos.list(limit=2, order="asc")] == made
    page = sdk.videos.list(limit=2, after=made[2])
    assert [v.id for v in page.data] == [made[1], made[0]]
    assert not page.has_more
