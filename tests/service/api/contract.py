"""What a user of the SDK does, whichever of its versions is on the path: python contract.py ADDRESS KEY.

Generates a few seconds of video with a small model, and ends with an error where the contract is broken.
"""

from __future__ import annotations

import sys
import warnings

import openai

warnings.simplefilter("ignore", DeprecationWarning)


def refused(call, kind):
    """Whether the SDK raises this error."""
    try:
        call()
    except kind as error:
        return bool(error.code and error.request_id)
    return False


def main(address: str, key: str) -> None:
    sdk = openai.OpenAI(base_url=f"{address}/v1", api_key=key)
    quick = {"steps": 2, "seed": 1}
    first = sdk.videos.create_and_poll(
        prompt="A red ball falls.", model="nano", seconds="1", size="112x64", extra_body=quick
    )
    assert (first.status, first.progress, first.seconds) == ("completed", 100, "1"), first
    film = sdk.videos.download_content(first.id).read()
    assert film[4:8] == b"ftyp"
    assert sdk.videos.download_content(first.id, variant="thumbnail").read()[8:12] == b"WEBP"
    assert sdk.videos.download_content(first.id, variant="spritesheet").read()[:2] == b"\xff\xd8"
    part = sdk.videos.download_content(first.id, extra_headers={"range": "bytes=4-7"})
    assert part.read() == b"ftyp"

    source = {"video": {"id": first.id}}
    post = {"cast_to": type(first), "options": {"headers": {"content-type": "application/json"}}}
    made = [
        sdk.videos.remix(first.id, prompt="A blue ball falls."),
        sdk.post("/videos/edits", body={"prompt": "Rain.", **source, **quick}, **post),
        sdk.post("/videos/edits", body={"prompt": "Rain.", **source, **quick, "fill": [0.25, 0.5]}, **post),
        sdk.post("/videos/extensions", body={"prompt": "On.", "seconds": "1", **source, **quick}, **post),
        sdk.videos.create(
            prompt="A red ball falls.", seconds="1", extra_body=quick,
            input_reference=("still.webp", sdk.videos.download_content(first.id, variant="thumbnail").read()),
        ),
    ]  # fmt: skip
    if hasattr(sdk.videos, "edit"):
        made.append(
            sdk.videos.edit(prompt="Rain.", video=film, extra_body={"seconds": "1", **quick})
        )
        made.append(sdk.videos.extend(prompt="On.", seconds="1", video=film, extra_body=quick))
    done = [sdk.videos.poll(one.id) for one in made]
    assert [one.status for one in done] == ["completed"] * len(made), done
    assert done[0].remixed_from_video_id == first.id
    assert done[3].seconds == "2"
    assert {v.id for v in sdk.videos.list(limit=2)} == {first.id, *(v.id for v in made)}
    assert [m.id for m in sdk.models.list()] == ["nano"]

    assert refused(lambda: sdk.videos.create(prompt="x", size="9x9"), openai.BadRequestError)
    assert refused(lambda: sdk.videos.retrieve("video_none"), openai.NotFoundError)
    stranger = openai.OpenAI(base_url=f"{address}/v1", api_key="yz_no", max_retries=0)
    assert refused(stranger.videos.list, openai.AuthenticationError)
    for one in (first, *made):
        assert sdk.videos.delete(one.id).deleted
    assert list(sdk.videos.list()) == []
    print(openai.__version__)


if __name__ == "__main__":
    main(*sys.argv[1:])
