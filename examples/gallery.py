"""Make the picture at the top of the README: clips of the shipped model, five frames each, under their prompts.

    python examples/gallery.py                                  # writes docs/images/gallery.png
    python examples/gallery.py --model runs/model -o mine.png   # of another model

The prompts are examples/prompts.txt, the seeds 0, 1, 2 and so on; no clip is left out.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import yozora
from yozora.video import contact_sheet, write_image

EXAMPLES = Path(__file__).parent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="nano", help="a name or a run's directory")
    parser.add_argument(
        "-o", "--out", type=Path, default=EXAMPLES.parent / "docs" / "images" / "gallery.png"
    )
    parser.add_argument("--steps", type=int, default=20, help="solver steps")
    options = parser.parse_args()
    prompts = (EXAMPLES / "prompts.txt").read_text(encoding="utf-8").splitlines()
    clips = list(yozora.load(options.model).generate_many(prompts, steps=options.steps))
    print(write_image(options.out, contact_sheet(clips, prompts, columns=2)))


if __name__ == "__main__":
    main()
