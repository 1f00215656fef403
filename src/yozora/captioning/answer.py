"""A model's answer to a request for a caption: the JSON in it, whose it is, and whether it is fit."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from yozora.captioning.captioner import fit_caption, shortened
from yozora.errors import YozoraError
from yozora.footage.sidecar import tidy

MOST = 20_000  # characters of an answer that are read


def asked_for(clip: str) -> str:
    """The form that an answer on a clip is asked in."""
    form = json.dumps({"id": clip, "caption": "your description"})
    return f"Answer with JSON alone, in this form: {form}"


def caption_in(answer: str, clip: str) -> str:
    """The caption in an answer on the clip of this name.

    Raises YozoraError when there is none, it is not fit to be one, or it is another clip's or says of none whose it is.
    """
    if len(answer) > MOST:
        raise YozoraError(f"the answer has {len(answer)} characters, above {MOST}")
    found = [value for value in objects(answer) if "caption" in value]
    if not found:
        fit_caption(answer)  # a refusal or an empty answer says so
        raise YozoraError(
            f"the answer is not the JSON asked for: {shortened(answer.strip(), 80)!r}"
        )
    said = found[-1]  # what thinks aloud comes to its answer last
    if said.get("id") != clip:
        whose = shortened(str(said.get("id")), 80) if "id" in said else "no clip"
        raise YozoraError(f"the answer is for {whose!r}, not for {clip!r}")
    if not isinstance(said["caption"], str):
        raise YozoraError("the answer's caption is not text")
    return fit_caption(said["caption"])


def objects(text: str) -> Iterator[dict[str, Any]]:
    """The JSON objects in a text, whatever stands around them."""
    decoder, start = json.JSONDecoder(), 0
    while (start := text.find("{", start)) >= 0:
        try:
            value, start = decoder.raw_decode(text, start)
        except (ValueError, RecursionError):
            start += 1
            continue
        yield value


def text_of(reply: Any) -> str:
    """The text of a chat completion. Raises YozoraError when it holds none, or was broken off."""
    try:
        choice = reply["choices"][0]
        message = choice["message"]
        content, reason = message["content"], choice.get("finish_reason")
        refusal = message.get("refusal")
    except (KeyError, IndexError, TypeError, AttributeError) as error:
        raise YozoraError("the reply is no chat completion") from error
    if refusal or reason == "content_filter":
        raise YozoraError(f"the model refuses: {shortened(tidy(str(refusal or reason)), 80)}")
    if isinstance(content, list):  # some servers send it in parts
        parts = (part.get("text") for part in content if isinstance(part, dict))
        content = "".join(part for part in parts if isinstance(part, str))
    if reason == "length":
        raise YozoraError("the answer was broken off for its length")
    if not isinstance(content, str) or not content.strip():
        raise YozoraError("the answer is empty")
    return content
