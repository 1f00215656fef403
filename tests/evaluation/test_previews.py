from __future__ import annotations

from pathlib import Path

import torch
from tests.sampling.conftest import SHAPE, randomised, words

from yozora import recipes, video
from yozora.evaluation.previews import PROMPTS, Previews
from yozora.models.dit import DiT
from yozora.models.vae import Codec


def test_previews_are_pictures_of_the_network_as_it_is(tmp_path: Path) -> None:
    codec, network = Codec(recipes.debug_codec().config), DiT(recipes.debug().config)
    randomised(codec, 0.02)
    randomised(network, 0.1)
    previews = Previews(codec, "none", SHAPE, tmp_path / "previews")
    previews.pipeline(network)._encoder = words  # type: ignore[assignment]
    first = previews(network, 5)
    again = previews(network, 6)
    with torch.no_grad():
        network.out.weight.mul_(3)
    other = previews(network, 700)
    assert first == again != other
    assert first["motion_energy"] > 0
    names = ["00000005.png", "00000006.png", "00000700.png"]
    assert sorted(path.name for path in (tmp_path / "previews").iterdir()) == names
    sheets = [video.read(tmp_path / "previews" / name).frames[0] for name in names]
    assert (sheets[0] == sheets[1]).all()
    assert (sheets[0] != sheets[2]).any()
    assert sheets[0].shape[0] > len(PROMPTS) * SHAPE["height"]
