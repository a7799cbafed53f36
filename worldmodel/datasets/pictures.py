"""What is wrong with the bytes of a PNG or JPEG, told before a decoder is given them.

Decoders fill what is missing of a truncated picture with grey and say nothing; and they believe a length or a size
that is damaged, which costs gigabytes and seconds. Both are read here from the structure alone, which is cheap.

Formats: https://www.w3.org/TR/png-3/#5Chunk-layout; ITU-T T.81, annex B.
"""

from __future__ import annotations

_PNG, _JPEG = b"\x89PNG\r\n\x1a\n", b"\xff\xd8"
#: More than any camera here has; so many take a gigabyte while they are decoded.
MOST_PIXELS = 2**27


def why_undecodable(data: bytes) -> str:
    """What is wrong with a picture, or nothing; of other formats nothing is known."""
    if data.startswith(_PNG):
        return _png(data)
    if data.startswith(_JPEG):
        return _jpeg(data)
    return ""


def _png(data: bytes) -> str:
    """A row of chunks: a length, a name, so many bytes, a checksum; IHDR is the first, IEND the last."""
    at = len(_PNG)
    width, height = (int.from_bytes(data[at + k : at + k + 4], "big") for k in (8, 12))
    if width * height > MOST_PIXELS:
        return f"a picture of {width}x{height}"
    while at + 12 <= len(data):
        at += 12 + int.from_bytes(data[at : at + 4], "big")
        if at <= len(data) and data[at - 8 : at - 4] == b"IEND":
            return ""
    return "truncated, or a damaged length in it"


def _jpeg(data: bytes) -> str:
    """Segments behind markers, each with its length, up to the scan; a marker ends it, or a thumbnail before it."""
    at = len(_JPEG)
    while at + 9 <= len(data) and data[at] == 0xFF:
        marker, length = data[at + 1], int.from_bytes(data[at + 2 : at + 4], "big")
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):  # a frame: precision, height, width
            height, width = (int.from_bytes(data[at + k : at + k + 2], "big") for k in (5, 7))
            if width * height > MOST_PIXELS:
                return f"a picture of {width}x{height}"
        if marker == 0xDA:
            break
        at += 1 if marker == 0xFF else 2 + length
    return "" if b"\xff\xd9" in data[at:] else "truncated"
