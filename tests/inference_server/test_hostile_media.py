"""Pictures and voices that are not what they seem: refused, or decoded within the stated bounds."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from PIL import ExifTags, Image

from inference.generation import InvalidInput, MediaInfo, VoiceInfo
from inference.media.audio_file import measure_audio
from inference.media.image_file import decode_image
from inference.media.limits import DEFAULT_LIMITS, MediaLimits
from inference.server import prober
from inference.server.prober import MediaFiles, Prober
from inference_server.drawing_engine import DrawingEngine
from inference_server.harness import config_for, error_of, running
from inference_server.hostile_media import (
    PICTURES_IN_VOICES,
    bad_voices,
    huge_pictures,
    huge_png,
    other_formats,
    png_chunk,
    saved,
    voice,
)
from inference_server.media import png, wav
from inference_server.process import ServerProcess

MIB = 2**20


def probe(
    folder: Path, picture: bytes | None = None, voices: tuple[bytes, ...] = (), limits: MediaLimits = DEFAULT_LIMITS
) -> MediaInfo:
    files = [png() if picture is None else picture, *voices]
    paths = [folder / f"part-{number}" for number in range(len(files))]
    for path, content in zip(paths, files, strict=True):
        path.write_bytes(content)
    return asyncio.run(Prober(limits).probe(MediaFiles(paths[0], tuple(paths[1:]))))


def refused(folder: Path, picture: bytes | None = None, voices: tuple[bytes, ...] = ()) -> str:
    with pytest.raises(InvalidInput) as caught:
        probe(folder, picture, voices)
    assert caught.value.field == ("audio" if voices else "input_reference")
    return caught.value.message


def spoken(folder: Path, content: bytes) -> float:
    (voice,) = probe(folder, None, (content,)).voices
    assert voice
    return voice.seconds


def peak_mib(call: str, content: bytes, folder: Path) -> int:
    """What a function of `inference.media` adds to the memory of a new process, whether it refuses or not."""
    (folder / "file").write_bytes(content)
    script = f"""
from contextlib import suppress
from pathlib import Path
from inference.generation import InvalidInput
from inference.media.image_file import decode_image
from inference.media.limits import DEFAULT_LIMITS
from inference.media.audio_file import decode_audio, measure_audio
def peak(): return int(next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1])
path, before = Path({str(folder / "file")!r}), peak()
with suppress(InvalidInput):
    {call}
print(peak() - before)"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=50)
    return int(done.stdout) // 1024


def test_good_files_are_measured_as_the_engine_will_see_them(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    turned = saved(Image.new("RGB", (60, 40)), "JPEG", exif=exif)
    assert probe(tmp_path, turned, (wav(0.5, rate=44_100), wav(1.0))) == MediaInfo(
        40, 60, (VoiceInfo(0.5), VoiceInfo(1.0))
    )


def test_a_picture_is_measured_before_it_is_decoded(tmp_path: Path) -> None:
    told = {name: refused(tmp_path, content) for name, content in huge_pictures().items()}
    assert {name for name, text in told.items() if "more than 50 megapixels" not in text} == {"animated WEBP"}
    assert "cannot be decoded" in told["animated WEBP"]  # its decoder makes room before it tells the size


def test_formats_that_are_not_on_the_list_are_not_decoded(tmp_path: Path) -> None:
    formats = other_formats()
    assert len(formats) > 10
    for name, content in formats.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(InvalidInput, match=r"not a picture that can be decoded|cannot be decoded here"):
            decode_image(tmp_path / name, DEFAULT_LIMITS)


@pytest.mark.parametrize("kind", [b"iCCP", b"zTXt", b"iTXt"])
def test_notes_in_a_picture_that_unpack_to_hundreds_of_mebibytes_are_not_unpacked(tmp_path: Path, kind: bytes) -> None:
    packed = zlib.compress(bytes(200 * MIB), 9)
    notes = b"x\0\1\0\0\0" + packed if kind == b"iTXt" else b"x\0\0" + packed
    assert peak_mib("decode_image(path, DEFAULT_LIMITS)", huge_png(64, before=png_chunk(kind, notes)), tmp_path) < 100


@pytest.mark.parametrize("name", PICTURES_IN_VOICES)
def test_a_picture_beside_the_sound_is_not_decoded(tmp_path: Path, name: str) -> None:
    content = PICTURES_IN_VOICES[name]()
    assert spoken(tmp_path, content) == pytest.approx(1.0, abs=0.01)
    assert peak_mib("measure_audio(path, DEFAULT_LIMITS)", content, tmp_path) < 25
    assert peak_mib("decode_audio(path, DEFAULT_LIMITS)", content, tmp_path) < 25


def test_a_decoder_for_each_of_many_tracks_is_not_opened(tmp_path: Path) -> None:
    content = voice("matroska", "aac", tracks=300)
    assert peak_mib("measure_audio(path, DEFAULT_LIMITS)", content, tmp_path) < 100


def test_what_is_no_voice_or_claims_the_absurd_is_refused(tmp_path: Path) -> None:
    for name, content in bad_voices().items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(InvalidInput):
            measure_audio(tmp_path / name, DEFAULT_LIMITS)


@pytest.mark.parametrize(
    ("form", "codec"),
    [
        *(("wav", "pcm_s16le"), ("wav", "pcm_f32le"), ("wav", "pcm_mulaw"), ("wav", "adpcm_ms"), ("w64", "pcm_s24le")),
        *(("mp3", "libmp3lame"), ("flac", "flac"), ("ogg", "libopus"), ("webm", "libopus"), ("aiff", "pcm_s16be")),
        *(("adts", "aac"), ("ipod", "aac"), ("mp4", "ac3"), ("mov", "alac"), ("matroska", "flac"), ("avi", "mp2")),
    ],
)
def test_the_sound_formats_of_the_list_are_decoded(tmp_path: Path, form: str, codec: str) -> None:
    assert spoken(tmp_path, voice(form, codec, rate=48_000)) == pytest.approx(1.0, abs=0.08)


# The process that decodes.


def confined(script: str, memory_bytes: int = 512 * MIB, seconds: int = 20) -> subprocess.CompletedProcess[str]:
    code = f"from inference.media.probe import _confine\n_confine({memory_bytes}, {seconds})\n{script}"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=50)


def test_the_process_that_decodes_has_little_memory() -> None:
    assert confined("bytearray(100 << 20)").returncode == 0
    assert "MemoryError" in confined("bytearray(600 << 20)").stderr


def test_the_process_that_decodes_has_little_time() -> None:
    assert confined("while True: pass", seconds=1).returncode == -signal.SIGKILL


def test_the_process_that_decodes_writes_no_file(tmp_path: Path) -> None:
    path = tmp_path / "written"
    confined(f"open({str(path)!r}, 'w').write('x')")
    assert path.read_bytes() == b""


def test_the_process_that_decodes_uses_one_processor() -> None:
    assert confined("import os; print(len(os.sched_getaffinity(0)))").stdout == "1\n"


def program(monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    monkeypatch.setattr(prober, "COMMAND", (sys.executable, "-c", script))


@pytest.mark.parametrize(("answers", "field"), [(0, "input_reference"), (1, "audio")])
def test_a_file_whose_decoding_does_not_end_is_refused_by_its_field(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answers: int, field: str
) -> None:
    size = '{"width": 64, "height": 48}\\n'
    program(monkeypatch, f"print('{{}}\\n' + '{size}' * {answers}, end='', flush=True); import signal; signal.pause()")
    files = MediaFiles(tmp_path / "picture", (tmp_path / "voice",))
    with pytest.raises(InvalidInput, match="within 1656 MiB of memory and 1 s") as caught:
        asyncio.run(Prober(DEFAULT_LIMITS, time_s=1).probe(files))
    assert caught.value.field == field


@pytest.mark.parametrize(
    "script",
    ["raise SystemExit(3)", "print('{}' * 100_000)", "while True: print('{}')", "print('{}'); print('[')"],
    ids=["does not start", "one long line", "endless lines", "no JSON"],
)
def test_a_process_that_does_not_work_is_an_error_of_the_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str
) -> None:
    program(monkeypatch, script)
    with running(config_for(tmp_path), DrawingEngine()) as server:
        answer = server.post()
        assert (answer.status_code, error_of(answer)["code"]) == (500, "internal_error")
        assert server.service.queue.counts().unfinished == 0


def test_uploads_are_decoded_one_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    running_now: list[int] = []

    async def run(_self: Prober, _asked: list[tuple[str, str]], *_: object) -> tuple[list[dict[str, int]], str]:
        running_now.append(1)
        await asyncio.sleep(0)  # whatever else can go on does
        assert sum(running_now) == 1
        running_now.clear()
        return [{}, {"width": 64, "height": 48}], "all said"

    async def nine() -> list[MediaInfo]:
        prober = Prober(DEFAULT_LIMITS)
        return await asyncio.gather(*(prober.probe(MediaFiles(tmp_path / "picture", ())) for _ in range(9)))

    monkeypatch.setattr(Prober, "_run", run)
    assert asyncio.run(nine()) == [MediaInfo(64, 48, ())] * 9


def test_nine_hostile_uploads_together_take_no_memory_of_the_server(tmp_path: Path) -> None:
    bomb = PICTURES_IN_VOICES["PNG in MOV"]()
    process = ServerProcess(tmp_path)
    try:
        with process.ready_client() as client:
            before = process.peak_mib()
            assert together(9, lambda: post(client, bomb)) == [200] * 9
            assert process.peak_mib() - before < 100
    finally:
        process.close()


def post(client: httpx.Client, content: bytes) -> int:
    files = [("input_reference", ("face.png", png())), ("audio", ("voice.mov", content))]
    return client.post("/v1/videos", data={"prompt": "p"}, files=files).status_code


def together(count: int, call: Callable[[], int]) -> list[int]:
    with ThreadPoolExecutor(count) as pool:
        return [each.result() for each in [pool.submit(call) for _ in range(count)]]
