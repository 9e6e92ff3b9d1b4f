"""Values of a server: what a LoRA is given as, and the defaults that distilled weights need.

Distilled weights make a video in a few steps without guidance by the prompt; with the defaults of the plain model they
take ten times as long and burn the picture. The numbers are those that their authors publish for MultiTalk.
"""

from __future__ import annotations

import math
from pathlib import Path

from inference.generation import LoraFile, Sampling

PRESETS = {
    "fusionx": Sampling(steps=8, text_guidance=1.0, audio_guidance=2.0, shift=2.0),
    "lightx2v": Sampling(steps=4, text_guidance=1.0, audio_guidance=2.0, shift=2.0),
}
MOST_STRENGTH = 10.0


def lora_file(text: str) -> LoraFile:
    """`FILE` or `FILE=STRENGTH`; a name may have an = of its own."""
    path, equals, last = text.rpartition("=")
    try:
        strength = float(last) if equals else 1.0
    except ValueError:
        return LoraFile(Path(text))
    if not (math.isfinite(strength) and abs(strength) <= MOST_STRENGTH):
        raise ValueError(
            f"{text!r} has the strength {last}; give a number from -{MOST_STRENGTH:g} to {MOST_STRENGTH:g}"
        )
    if equals and not path:
        raise ValueError(f"{text!r} names no file; give FILE or FILE=STRENGTH")
    return LoraFile(Path(path if equals else text), strength)


def sampling_defaults(preset: str | None) -> Sampling:
    """What a request gets for the fields that it leaves out."""
    return Sampling() if preset is None else PRESETS[preset]
