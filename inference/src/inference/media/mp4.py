"""MP4, written and measured: H.264 video and AAC sound of exactly the same length.

Sound is written along with the frames, so that a player can start before the download is complete. The file gets its
name only once it is complete.
"""

from __future__ import annotations

import os
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from types import TracebackType

import av
import numpy as np
import numpy.typing as npt
from av.audio.frame import AudioFrame
from av.video.frame import VideoFrame
from av.video.reformatter import Colorspace

from inference.media.soundtrack import Soundtrack
from inference.multitalk import FPS

VIDEO_OPTIONS = {
    "crf": "18",
    "preset": "medium",
    # Players guess the colour matrix from the size unless the file names it.
    "x264-params": "colorprim=bt709:transfer=bt709:colormatrix=bt709",
}
AUDIO_BITRATE = 96_000
"""Of each channel; lower at rates at which AAC holds less."""
AUDIO_BITS_PER_SAMPLE = 6
LAYOUTS = {1: "mono", 2: "stereo"}


class Mp4Writer:
    """A video being written: `add` frames, leave the block to finish. An exception does not lose what was added."""

    def __init__(self, output: Path, height: int, width: int, sound: Soundtrack) -> None:
        self._output = output
        self._partial = output.with_name(f".{output.name}.partial")
        self._pieces = sound.pieces()
        self._frames = 0
        self._container = av.open(str(self._partial), "w", format="mp4", options={"movflags": "+faststart"})
        self._video = self._container.add_stream("libx264", rate=FPS, options=VIDEO_OPTIONS)
        self._video.height, self._video.width, self._video.pix_fmt = height, width, "yuv420p"
        self._video.codec_context.time_base = Fraction(1, FPS)
        self._rate = sound.form.rate
        bits = sound.form.channels * min(AUDIO_BITRATE, AUDIO_BITS_PER_SAMPLE * self._rate)
        self._layout = LAYOUTS[sound.form.channels]
        self._audio = self._container.add_stream("aac", rate=self._rate, layout=self._layout, bit_rate=bits)

    def __enter__(self) -> Mp4Writer:
        """Begin."""
        return self

    def add(self, frames: npt.NDArray[np.uint8]) -> None:
        """Write frames `[n, H, W, 3]`, and the sound that belongs to them."""
        for picture in frames:
            frame = VideoFrame.from_ndarray(picture, format="rgb24")
            frame = frame.reformat(format="yuv420p", dst_colorspace=Colorspace.ITU709)
            frame.pts = self._frames
            self._container.mux(self._video.encode(frame))
            self._add_sound(self._frames)
            self._frames += 1

    def _add_sound(self, number: int) -> None:
        samples = next(self._pieces)
        frame = AudioFrame.from_ndarray(samples, format="fltp", layout=self._layout)
        frame.sample_rate = self._rate
        frame.pts = number * samples.shape[1]
        frame.time_base = Fraction(1, self._rate)
        self._container.mux(self._audio.encode(frame))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Finish and rename; without a frame, or where that fails too, remove what was begun."""
        try:
            if error is None or self._frames:
                self._finish()
        except Exception:
            if error is None:
                raise
        finally:
            with suppress(av.FFmpegError):
                self._container.close()
            self._partial.unlink(missing_ok=True)

    def _finish(self) -> None:
        self._container.mux(self._video.encode(None))
        self._container.mux(self._audio.encode(None))
        self._container.close()
        os.replace(self._partial, self._output)


def measure(path: Path) -> tuple[int, int, float]:
    """Width, height and seconds of a finished video, from its header."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        if stream.duration is not None and stream.time_base is not None:
            seconds = float(stream.duration * stream.time_base)
        else:
            seconds = (container.duration or 0) / av.time_base
        return stream.width, stream.height, seconds
