"""What is wrong with an mp4 that cannot be opened, read from its boxes alone; no codec is needed.

An mp4 is a row of boxes, each a length and a four-letter name (ISO/IEC 14496-12): ``ftyp`` first, ``moov`` the index,
``mdat`` the pictures. A recorder that loses power never writes the index.
"""

from __future__ import annotations

from pathlib import Path


def why_unreadable(path: Path) -> str:
    """Tell a truncated mp4 from something that never was a video."""
    size = path.stat().st_size
    with path.open("rb") as file:
        if file.read(8)[4:] != b"ftyp":
            return "not a video"
        at, names = 0, []
        while at + 8 <= size:
            file.seek(at)
            head = file.read(16)
            length, name = int.from_bytes(head[:4], "big"), head[4:8]
            if length == 1:
                length = int.from_bytes(head[8:16], "big")
            names.append(name)
            if length == 0 or at + length == size:
                break
            if at + length > size or length < 8:
                break
            at += length
        else:
            return "truncated mp4"
    if b"moov" not in names:
        return "truncated mp4: it ends before its index (moov box) was written"
    return "not a video" if at + length == size else "truncated mp4"
