"""Captions from a vision-language model of Hugging Face on this computer."""

from __future__ import annotations

from typing import Any

from yozora.artifact import json_hash
from yozora.captioning.captioner import CaptionerError, Subject, fit_caption, pictures, told
from yozora.corpus.schema import Row
from yozora.errors import YozoraError

VERSION = "model/1"  # to be raised when the same prompt asks for something else
TOKENS = 200  # of a caption


class Local:
    """A captioner that runs the image-text-to-text model of a name or a directory.

    prompt: what to describe. download: whether the model may be fetched where it is not on this computer. Raises
    CaptionerError when it cannot be loaded.
    """

    parallel = 1

    def __init__(self, model: str, prompt: str, *, download: bool = False) -> None:
        self.name = f"model {model}"
        self._name, self._prompt = model, prompt
        import torch  # seconds, both
        from transformers import AutoModelForImageTextToText, AutoProcessor
        from transformers.utils import logging

        logging.disable_progress_bar()  # type: ignore[no-untyped-call]
        self._device = "cuda" if torch.cuda.is_available() else "cpu"
        processors: Any = AutoProcessor
        options: dict[str, Any] = {"local_files_only": not download}
        try:
            self._processor = processors.from_pretrained(model, **options)
            loaded: Any = AutoModelForImageTextToText.from_pretrained(
                model, dtype="auto", **options
            )
        except Exception as error:  # what a missing or damaged model raises is anybody's guess
            advice = (
                "look at its name"
                if download
                else "give its directory, or let it be fetched with --download"
            )
            raise CaptionerError(
                f"The vision-language model '{model}' cannot be loaded ({first_line(error)}): {advice}."
            ) from error
        if not getattr(self._processor, "chat_template", None):
            raise CaptionerError(
                f"The model '{model}' has no chat template, so it cannot be asked: choose one that is made for that."
            )
        self._model = loaded.to(self._device).eval()

    def key(self, row: Row) -> str:
        """The hash of the clip's id, the prompt, the model's name, and the words that the model is told."""
        return json_hash([VERSION, row.id, self._prompt, self._name, told(row)])

    def caption(self, subject: Subject) -> str:
        """The model's caption, the likeliest one by its own account."""
        try:
            text = self._answer(subject)
        except Exception as error:  # of memory, of shapes: the model's own affairs
            raise YozoraError(f"{self._name} failed: {first_line(error)}.") from error
        try:
            return fit_caption(text)
        except YozoraError as error:
            raise YozoraError(f"{self._name} gave no fit answer: {error}.") from None

    def _answer(self, subject: Subject) -> str:
        """What the model writes under the prompt and the clip's frames."""
        import torch
        from PIL import Image

        words = told(subject.row)
        text = f"{self._prompt}\nIt came with these words: {words}" if words else self._prompt
        images = [{"type": "image", "image": Image.fromarray(p)} for p in pictures(subject.clip)]
        asked = [{"role": "user", "content": [*images, {"type": "text", "text": text}]}]
        inputs = self._processor.apply_chat_template(
            asked, add_generation_prompt=True, tokenize=True, return_dict=True, return_tensors="pt"
        ).to(self._device, dtype=self._model.dtype)
        with torch.inference_mode():
            written = self._model.generate(**inputs, max_new_tokens=TOKENS, do_sample=False)
        new = written[0, inputs["input_ids"].shape[1] :]
        return str(self._processor.decode(new, skip_special_tokens=True))


def first_line(error: Exception) -> str:
    """What an error says, on one line and without a full stop."""
    return (str(error).splitlines() or [type(error).__name__])[0].rstrip(". ")
