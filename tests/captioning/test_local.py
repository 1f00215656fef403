"""A vision-language model of this computer: a tiny one of random weights, made here."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tests.captioning.clips import row, seen, travelling
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace

from yozora.captioning.captioner import CaptionerError, Subject
from yozora.captioning.local import Local
from yozora.errors import YozoraError

WORDS = ["a", "tram", "crosses", "old", "bridge", "in", "the", "rain", "while", "people", "wait"]
TEMPLATE = (
    "{% for message in messages %}{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}<image>{% else %}{{ part['text'] }}{% endif %}"
    "{% endfor %}{% endfor %}"
)


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """LLaVA with a vision tower and a language model of a few thousand weights."""
    from transformers import (
        CLIPImageProcessor,
        CLIPVisionConfig,
        LlamaConfig,
        LlavaConfig,
        LlavaForConditionalGeneration,
        LlavaProcessor,
        PreTrainedTokenizerFast,
    )

    folder = tmp_path_factory.mktemp("toy-vl")
    ids = {word: i for i, word in enumerate(["<pad>", "<unk>", "<s>", "</s>", "<image>", *WORDS])}
    words = Tokenizer(WordLevel(ids, unk_token="<unk>"))
    words.pre_tokenizer = Whitespace()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=words,
        pad_token="<pad>",
        unk_token="<unk>",
        bos_token="<s>",
        eos_token="</s>",
        additional_special_tokens=["<image>"],
    )
    size = {"height": 28, "width": 28}
    LlavaProcessor(
        image_processor=CLIPImageProcessor(size={"shortest_edge": 28}, crop_size=size),
        tokenizer=tokenizer,
        patch_size=14,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=TEMPLATE,
    ).save_pretrained(folder)
    torch.manual_seed(0)
    vision = CLIPVisionConfig(
        hidden_size=16, intermediate_size=16, num_hidden_layers=2, num_attention_heads=2, image_size=28, patch_size=14
    )  # fmt: skip
    language = LlamaConfig(
        vocab_size=len(ids), hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2,
        num_key_value_heads=2, bos_token_id=2, eos_token_id=3, pad_token_id=0,
    )  # fmt: skip
    config = LlavaConfig(
        vision_config=vision, text_config=language, image_token_index=4, image_token_id=4, image_seq_length=4
    )  # fmt: skip
    LlavaForConditionalGeneration(config).save_pretrained(folder)
    return folder


def test_a_model_in_a_directory_says_words_about_a_clip(directory: Path) -> None:
    local = Local(str(directory), "describe the tram")
    subject = Subject(row(), travelling(2), seen())
    caption = local.caption(subject)
    assert set(caption.split()) <= {*WORDS, "<unk>"}
    assert caption == local.caption(subject)
    assert local.name == f"model {directory}"
    assert local.key(row()) != Local(str(directory), "another prompt").key(row())


def test_an_answer_without_words_is_said(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    local = Local(str(directory), "describe the tram")
    monkeypatch.setattr(local, "_answer", lambda subject: " ")
    with pytest.raises(YozoraError, match="no fit answer: the answer has no words"):
        local.caption(Subject(row(), travelling(2), seen()))


def test_a_model_that_fails_is_a_sentence(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    local = Local(str(directory), "describe the tram")
    monkeypatch.setattr(local, "_model", None)
    with pytest.raises(YozoraError, match="failed"):
        local.caption(Subject(row(), travelling(2), seen()))


@pytest.mark.parametrize("name", ["no-such-model-here", "org/no-such-model", "/nowhere", ""])
def test_a_model_that_is_not_here_is_not_fetched(name: str) -> None:
    with pytest.raises(CaptionerError, match=r"cannot be loaded.*--download"):
        Local(name, "Describe.")


def test_a_model_that_cannot_be_asked_is_refused(directory: Path, tmp_path: Path) -> None:
    import shutil

    copy = shutil.copytree(directory, tmp_path / "copy")
    for file in copy.glob("chat_template*"):
        file.unlink()
    with pytest.raises(CaptionerError, match="no chat template"):
        Local(str(copy), "Describe.")
