"""A small picture of a finished video: its first frame, as WebP.

It reads files that this server wrote, never uploads.
"""

from __future__ import annotations

import io
from pathlib import Path

import av
from PIL import Image

LONGEST_SIDE = 512
KIND = "image/webp"


def thumbnail(video: Path) -> bytes:
    """Decode and shrink the first frame."""
    with av.open(str(video)) as container:
        picture = Image.fromarray(next(container.decode(video=0)).to_ndarray(format="rgb24"))
    picture.thumbnail((LONGEST_SIDE, LONGEST_SIDE))
    out = io.BytesIO()
    picture.save(out, "WEBP")
    return out.getvalue()
