"""Video files in and out. With ``stream`` the only importer of ``av`` in the project.

Everything written is H.264 with 4:2:0 chroma, one key frame every ten frames and no B-frames: it plays in any browser
and a window is reached by decoding at most nine frames too many. Reading seeks; it never decodes from the beginning.
This room knows files and frames, not what is on them.

Shapes: T frames; H, W pixels; frames are uint8 RGB.
"""

from __future__ import annotations

import bisect
import itertools
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, overload

import av
import av.error
import numpy as np
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray

from worldmodel.datasets.mp4 import why_unreadable
from worldmodel.types import FrameArray

#: Frames from one key frame to the next in every file written here.
GOP = 10
_TICKS_PER_S = 90_000


class VideoWriter:
    """Writes ``(H, W, 3)`` frames to an mp4; use as a context manager, or call ``close``.

    The file appears at ``path`` only when it is closed without an error; until then it is ``<path>.tmp``.

    Args:
        path: of the mp4.
        height_px, width_px: of the frames, both even.
        fps: frames per second; frame i is shown at i / fps.
        crf: x264's constant rate factor; 18 is visually lossless, 23 x264's own default.
        preset: x264's speed preset.

    Raises:
        ValueError: an odd or empty size.
    """

    _suffix = ".tmp"
    _container_options: Mapping[str, str] = {"movflags": "+faststart"}
    _codec_options: Mapping[str, str] = {"sc_threshold": "0"}

    def __init__(
        self,
        path: str | Path,
        height_px: int,
        width_px: int,
        *,
        fps: float = 10.0,
        crf: int = 18,
        preset: str = "veryfast",
    ) -> None:
        self.path = Path(path)
        self._written_to = self.path.with_name(self.path.name + self._suffix)
        if height_px <= 0 or width_px <= 0 or height_px % 2 or width_px % 2:
            raise ValueError(f"{self.path}: frame size {height_px}x{width_px}: H.264 needs even, positive sides")
        self.frame_shape = (height_px, width_px, 3)
        self.fps = Fraction(fps).limit_denominator(100_000)
        self.count = 0
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._container = av.open(
            str(self._written_to), "w", format="mp4", container_options=dict(self._container_options)
        )
        options = {"crf": str(crf), "preset": preset, **self._codec_options}
        stream: Any = self._container.add_stream("libx264", rate=self.fps, options=options)
        stream.width, stream.height, stream.pix_fmt = width_px, height_px, "yuv420p"
        stream.time_base = stream.codec_context.time_base = Fraction(1, _TICKS_PER_S)
        stream.codec_context.gop_size = GOP
        stream.codec_context.max_b_frames = 0
        stream.codec_context.thread_count = 1
        self._stream = stream
        self._reformatter = VideoReformatter()

    def write(self, frame: FrameArray) -> None:
        """Append one ``(H, W, 3)`` uint8 frame.

        Raises:
            ValueError: another shape or dtype than the writer was opened with.
        """
        if frame.shape != self.frame_shape or frame.dtype != np.uint8:
            raise ValueError(
                f"{self.path}: frame {self.count}: expected uint8 {self.frame_shape}, got {frame.dtype} {frame.shape}"
            )
        picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")
        picture = self._reformatter.reformat(picture, format="yuv420p", threads=1)
        picture.pts = round(self.count / self.fps * _TICKS_PER_S)
        picture.time_base = Fraction(1, _TICKS_PER_S)
        self.count += 1
        self._mux(picture)

    def write_all(self, frames: Iterable[FrameArray]) -> None:
        """Append ``(T, H, W, 3)`` frames, one after the other."""
        for frame in frames:
            self.write(frame)

    def _mux(self, picture: av.VideoFrame | None) -> None:
        for packet in self._stream.encode(picture):
            packet.duration = round(_TICKS_PER_S / self.fps)
            self._container.mux(packet)

    def _close_container(self) -> None:
        if self.count:
            self._mux(None)
        self._container.close()

    def close(self) -> Path:
        """End the file, move it to its name and return that.

        Raises:
            ValueError: no frame was written.
        """
        self._close_container()
        if not self.count:
            self._written_to.unlink(missing_ok=True)
            raise ValueError(f"{self.path}: no frame was written")
        _replace_durably(self._written_to, self.path)
        return self.path

    def abort(self) -> None:
        """Give up: nothing is left on disk."""
        self._container.close()
        self._written_to.unlink(missing_ok=True)

    def __enter__(self) -> VideoWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self.close()
        else:
            self.abort()


class StreamingVideoWriter(VideoWriter):
    """Writes a fragmented mp4, at its own name, that is playable at any moment.

    A frame is in the file as soon as the next one is written (an mp4 sample needs its duration): a process killed
    after n calls of ``write`` leaves n - 1 frames. ``finish`` turns the file into an ordinary mp4. Args and errors are
    those of ``VideoWriter``.
    """

    _suffix = ""
    _container_options: Mapping[str, str] = {
        "movflags": "+frag_every_frame+empty_moov+default_base_moof",
        "flush_packets": "1",
    }
    _codec_options: Mapping[str, str] = {"sc_threshold": "0", "tune": "zerolatency"}

    def close(self) -> Path:
        """End the fragmented file where it lies, without turning it into an ordinary one."""
        self._close_container()
        return self.path

    def finish(self, final: str | Path | None = None) -> Path:
        """End the file, remux it with its index in front and move it to ``final`` (default: its own name).

        Raises:
            ValueError: no frame was written.
        """
        self.close()
        final = self.path if final is None else Path(final)
        remux(self.path, final)
        if final != self.path:
            self.path.unlink()
        return final

    def abort(self) -> None:
        """End the file and keep what was written: a broken drive is still worth seeing."""
        self.close()

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self.finish()
        else:
            self.abort()


def remux(source: str | Path, target: str | Path) -> None:
    """Copy a video, without re-encoding, into an mp4 with its index in front; atomic, and source may be target.

    Raises:
        ValueError: the source is not a readable video or has no frame.
    """
    source, target = Path(source), Path(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(target.name + ".remux.tmp")
    with (
        _open_video(source) as reading,
        av.open(str(temporary), "w", format="mp4", options={"movflags": "+faststart"}) as writing,
    ):
        stream_in = reading.streams.video[0]
        stream_out = writing.add_stream_from_template(stream_in)
        count = 0
        for packet in reading.demux(stream_in):
            if packet.size and packet.dts is not None and not packet.is_corrupt:
                packet.stream = stream_out
                writing.mux(packet)
                count += 1
    if not count:
        temporary.unlink()
        raise ValueError(f"{source}: zero frames")
    _replace_durably(temporary, target)


class VideoReader:
    """Random access to the frames of a video file. Not shared between threads or processes.

    Attributes:
        path: of the file.
        height_px, width_px: of its frames.
        fps: average frames per second as the file says, or NaN.
        times_s: ``(T,)`` presentation time of every frame, from the container, starting at the first frame.

    Raises:
        ValueError: not a video, truncated, or without a frame; the message names the file.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._container = _open_video(self.path)
        self._stream: Any = self._container.streams.video[0]
        self._stream.codec_context.thread_count = 1
        self.width_px, self.height_px = int(self._stream.codec_context.width), int(self._stream.codec_context.height)
        self.fps = float(self._stream.average_rate or "nan")
        self._pts, self._keys = self._index()
        self._index_of = {pts: i for i, pts in enumerate(self._pts)}
        self.times_s = (np.asarray(self._pts, dtype=np.float64) - self._pts[0]) * float(self._stream.time_base)
        self._reformatter = VideoReformatter()
        self._decoded: Iterator[tuple[int, av.VideoFrame]] = iter(())
        self._next = len(self._pts)  # index of the frame that _decoded yields next; past the end: seek first

    def __len__(self) -> int:
        return len(self._pts)

    def __enter__(self) -> VideoReader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Release the file and all decoders now: left to the collector, they could be freed in a forked worker."""
        self._decoded, self._next = iter(()), len(self)
        self._container.close()

    def read(self, indices: Sequence[int] | NDArray[np.int64] | int, count: int | None = None) -> FrameArray:
        """Frames ``(T, H, W, 3)`` at the given indices, or ``count`` frames from index ``indices`` on.

        Seeks to the key frame before each run of indices. Order and repetitions are kept.

        Raises:
            ValueError: an index outside the file, or a frame that cannot be decoded.
        """
        wanted = np.atleast_1d(np.asarray(indices, dtype=np.int64))
        if count is not None:
            wanted = np.arange(wanted[0], wanted[0] + count)
        bad = wanted[(wanted < 0) | (wanted >= len(self))]
        if len(bad):
            raise ValueError(f"{self.path}: frame {bad[0]} asked for, the file has frames 0..{len(self) - 1}")
        frames = np.empty((len(wanted), self.height_px, self.width_px, 3), dtype=np.uint8)
        at = -1
        for place in np.argsort(wanted, kind="stable"):
            index = int(wanted[place])
            if index != at:
                picture = self._rgb(self._decode_at(index))
                at = index
            frames[place] = picture
        return frames

    def __iter__(self) -> Iterator[FrameArray]:
        """Every frame in order, decoding once."""
        return (self._rgb(self._decode_at(index)) for index in range(len(self)))

    def _rgb(self, picture: av.VideoFrame) -> FrameArray:
        return np.asarray(self._reformatter.reformat(picture, format="rgb24", threads=1).to_ndarray(), dtype=np.uint8)

    def _decode_at(self, index: int) -> av.VideoFrame:
        key = self._keys[bisect.bisect_right(self._keys, index) - 1]
        if not key <= self._next <= index:
            self._seek(key)
        for found, picture in self._decoded:
            self._next = found + 1
            if found == index:
                return picture
            if found > index:
                break
        self._next = len(self)
        raise ValueError(f"{self.path}: frame {index} of {len(self)} cannot be decoded: damaged or truncated file")

    def _seek(self, index: int) -> None:
        """Make ``_decoded`` begin at or before ``index``."""
        for key in (*reversed([k for k in self._keys if k <= index][-3:]), 0):
            self._container.seek(self._pts[key], stream=self._stream, backward=True)
            self._decoded = self._decode()
            first = next(self._decoded, None)
            if first is not None and first[0] <= index:
                self._decoded = itertools.chain([first], self._decoded)
                self._next = first[0]
                return
        self._next = len(self)

    def _decode(self) -> Iterator[tuple[int, av.VideoFrame]]:
        try:
            for picture in self._container.decode(self._stream):
                if picture.pts in self._index_of and not picture.is_corrupt:
                    yield self._index_of[picture.pts], picture
        except av.error.FFmpegError as error:
            raise ValueError(f"{self.path}: cannot be decoded: {error.strerror or error}") from error

    def _index(self) -> tuple[list[int], list[int]]:
        """Presentation stamps in order, and the indices of key frames."""
        entries = self._stream.index_entries
        if len(entries) and len(entries) == self._stream.frames and not self._stream.codec_context.has_b_frames:
            # Without B-frames the container's own index is enough, and nothing else need be read.
            size = self.path.stat().st_size
            whole = [(e.timestamp, e.is_keyframe) for e in entries if e.pos + e.size <= size]
        else:
            packets = self._container.demux(self._stream)
            whole = [(p.pts, p.is_keyframe) for p in packets if p.size and p.pts is not None and not p.is_corrupt]
        if not whole:
            raise ValueError(f"{self.path}: zero frames")
        if len(whole) < self._stream.frames:
            raise ValueError(
                f"{self.path}: truncated: {len(whole)} of {self._stream.frames} frames are there; copy the file anew"
            )
        whole.sort()
        keys = [i for i, (_, is_key) in enumerate(whole) if is_key]
        if not keys or keys[0] != 0:
            keys.insert(0, 0)
        return [int(pts) for pts, _ in whole], keys


class FrameSequence(Sequence[FrameArray]):
    """The frames of a video as a lazy sequence: an int gives ``(H, W, 3)``, a slice ``(T, H, W, 3)``, uint8 RGB.

    Reading in order decodes each frame once. Pickles as its path, so that workers open the file themselves.

    Raises:
        ValueError: as ``VideoReader``.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._reader = VideoReader(self.path)

    def __len__(self) -> int:
        return len(self._reader)

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(T, H, W, 3)."""
        return len(self), self._reader.height_px, self._reader.width_px, 3

    @overload
    def __getitem__(self, index: int) -> FrameArray: ...
    @overload
    def __getitem__(self, index: slice) -> FrameArray: ...
    def __getitem__(self, index: int | slice) -> FrameArray:
        if isinstance(index, slice):
            return self._reader.read(np.arange(len(self))[index])
        if not -len(self) <= index < len(self):
            raise IndexError(f"{self.path}: frame {index} of {len(self)}")
        return self._reader.read([index % len(self)])[0]

    def __reduce__(self) -> tuple[type[FrameSequence], tuple[Path]]:
        return FrameSequence, (self.path,)


def _open_video(path: Path) -> Any:
    """An opened container with at least one video stream, or a ``ValueError`` that says what is wrong."""
    if not path.is_file():
        raise ValueError(f"{path}: no such file")
    if path.stat().st_size == 0:
        raise ValueError(f"{path}: empty file")
    try:
        container = av.open(str(path), metadata_errors="replace")
    except (av.error.FFmpegError, OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: {why_unreadable(path)} ({getattr(error, 'strerror', '') or error})") from error
    codec: Any = container.streams.video[0].codec_context if container.streams.video else None
    if codec is None or not codec.width * codec.height:
        container.close()
        raise ValueError(f"{path}: {why_unreadable(path)} (no stream of pictures)")
    return container


def _replace_durably(temporary: Path, final: Path) -> None:
    with temporary.open("rb") as file:
        os.fsync(file.fileno())
    os.replace(temporary, final)
