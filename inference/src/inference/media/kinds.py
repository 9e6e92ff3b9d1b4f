"""What a file is by its first bytes: for the choice of a decoder, and for a refusal that names it."""

from __future__ import annotations

from pathlib import Path

HEAD_BYTES = 512
_TS_PACKET = 188

_KINDS: tuple[tuple[int, bytes, str], ...] = (
    (0, b"\x89PNG\r\n", "a PNG picture"),
    (0, b"\xff\xd8\xff", "a JPEG picture"),
    (0, b"GIF8", "a GIF picture"),
    (0, b"BM", "a BMP picture"),
    (0, b"II*\0", "a TIFF picture"),
    (0, b"MM\0*", "a TIFF picture"),
    (0, b"8BPS", "a Photoshop file"),
    (0, b"\0\0\1\0", "an ICO picture"),
    (0, b"\xff\x0a", "a JPEG XL picture"),
    (0, b"\0\0\0\x0cJXL ", "a JPEG XL picture"),
    (0, b"\0\0\0\x0cjP  ", "a JPEG 2000 picture"),
    (0, b"\xff\x4f\xff\x51", "a JPEG 2000 picture"),
    (0, b"\x76\x2f\x31\x01", "an OpenEXR picture"),
    (0, b"qoif", "a QOI picture"),
    (8, b"WEBP", "a WEBP picture"),
    (8, b"WAVE", "a WAV file"),
    (8, b"AVI ", "an AVI video"),
    (8, b"AIF", "an AIFF file"),
    (0, b"riff", "a W64 file"),
    (0, b"fLaC", "a FLAC file"),
    (0, b"OggS", "an OGG file"),
    (0, b"ID3", "an MP3 file"),
    (0, b"caff", "a CAF file"),
    (0, b"#!AMR", "an AMR file"),
    (0, b".snd", "an AU file"),
    (0, b"MThd", "a MIDI file, which holds notes and no sound"),
    (0, b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "a WMA or WMV file"),
    (0, b"MAC ", "a Monkey's Audio file"),
    (0, b"wvpk", "a WavPack file"),
    (0, b"DSD ", "a DSF file"),
    (0, b".RMF", "a RealMedia file"),
    (0, b"FLV\1", "an FLV video"),
    (0, b"\0\0\1\xba", "an MPEG video"),
    (0, b"\x1a\x45\xdf\xa3", "a Matroska or WebM video"),
    (0, b"%PDF", "a PDF file"),
    (0, b"%!PS", "a PostScript file"),
    (0, b"PK\3\4", "a ZIP archive"),
    (0, b"\x1f\x8b", "a gzip archive"),
    (0, b"Rar!", "a RAR archive"),
    (0, b"7z\xbc\xaf", "a 7-Zip archive"),
)
_BRANDS: tuple[tuple[frozenset[bytes], str], ...] = (
    (frozenset((b"avif", b"avis")), "an AVIF picture"),
    (frozenset((b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"heif")), "a HEIC picture"),
    (frozenset((b"crx ",)), "a raw picture of a camera (CR3)"),
)
"""Of the files that begin as MP4 does; others of them are MP4."""
_ISO = "an MP4 or MOV file"
_ATOMS = (b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot")
"""MOV files older than MP4 begin with one of these."""
_TS = "an MPEG-TS stream"
_CLIPS = frozenset((_ISO, _TS, "a WMA or WMV file", "a RealMedia file"))
_WORDS = (
    (b"<svg", "an SVG drawing"),
    (b"<html", "a web page"),
    (b"<!doctype html", "a web page"),
    (b"#extm3u", "a playlist, which only names other files"),
    (b"[playlist]", "a playlist, which only names other files"),
)


def kind_of(path: Path) -> str | None:
    """What it is, with an article; None if that is not known."""
    try:
        with path.open("rb") as file:
            return kind_of_head(file.read(HEAD_BYTES))
    except OSError:
        return None


def is_clip(path: Path) -> bool:
    """Whether it is a format of videos, be it one that can be decoded or not."""
    kind = kind_of(path) or ""
    return kind.endswith(" video") or kind in _CLIPS


def kind_of_head(head: bytes) -> str | None:
    """The same for a file's first bytes."""
    if not head:
        return "an empty file"
    if head[4:8] == b"ftyp":
        return _iso(head)
    if head[4:8] in _ATOMS:
        return _ISO
    if head[:1] == b"G" and head[_TS_PACKET : _TS_PACKET + 1] == b"G" and head[2 * _TS_PACKET : 377] == b"G":
        return _TS
    for at, magic, kind in _KINDS:
        if head[at : at + len(magic)] == magic:
            return kind
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    return next(
        (kind for word, kind in _WORDS if start.startswith(word) or (start[:1] == b"<" and word in start)), None
    )


def _iso(head: bytes) -> str:
    size = int.from_bytes(head[:4], "big")
    box = head[8 : max(12, min(size, len(head)))]
    brands = {box[at : at + 4] for at in range(0, len(box), 4)}
    return next((kind for some, kind in _BRANDS if some & brands), _ISO)
