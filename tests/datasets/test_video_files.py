"""Videos: seeking gives the right frame, streams are playable while written, and broken files say so."""

import pickle

import numpy as np
import pytest
from conftest import HEIGHT, WIDTH, textured, write_video

from worldmodel.datasets.video import GOP, FrameSequence, StreamingVideoWriter, VideoReader, VideoWriter


def is_close(a, b, tolerance=8.0):
    return np.abs(a.astype(float) - b.astype(float)).mean() < tolerance


def which(frame, frames):
    return int(np.argmin(np.abs(frames.astype(float) - frame).mean(axis=(1, 2, 3))))


def interrupted(frames, error):
    yield from frames
    raise error


def test_frames_come_back_in_order_and_at_their_times(tmp_path):
    frames = textured(37)
    path = write_video(tmp_path / "a.mp4", 37)
    with VideoReader(path) as video:
        assert len(video) == 37
        assert (video.height_px, video.width_px) == (HEIGHT, WIDTH)
        np.testing.assert_allclose(video.times_s, np.arange(37) / 10, atol=1e-6)
        read = np.stack(list(video))
    assert is_close(read, frames)


def test_any_order_of_indices_reads_what_reading_in_order_reads(tmp_path):
    path = write_video(tmp_path / "a.mp4", 45)
    with VideoReader(path) as video:
        whole = video.read(0, 45)
        random = np.random.default_rng(0)
        for _ in range(10):
            indices = random.integers(0, 45, 7)
            np.testing.assert_array_equal(video.read(indices), whole[indices])
        np.testing.assert_array_equal(video.read(30, 5), whole[30:35])
    with pytest.raises(ValueError, match=r"a\.mp4: frame 45 asked for, the file has frames 0..44"):
        VideoReader(path).read([3, 45])


def test_reading_the_end_does_not_decode_from_the_beginning(tmp_path, monkeypatch):
    path = write_video(tmp_path / "a.mp4", 200)
    decoded = []
    original = VideoReader._decode

    def counting(self):
        for item in original(self):
            decoded.append(item[0])
            yield item

    monkeypatch.setattr(VideoReader, "_decode", counting)
    with VideoReader(path) as video:
        video.read(195, 3)
    assert len(decoded) <= GOP + 3, f"{len(decoded)} frames were decoded to read 3 of 200"


def test_videos_with_b_frames_are_read_right(tmp_path):
    import av

    frames = textured(40, seed=3, step_px=3)
    path = tmp_path / "b.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"bf": "3", "crf": "15", "g": "15"})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")))
        container.mux(stream.encode())
    with VideoReader(path) as video:
        assert len(video) == 40
        np.testing.assert_allclose(np.diff(video.times_s), 0.04, atol=1e-6)
        for index in (39, 7, 20, 0, 16):
            assert which(video.read([index])[0], frames) == index


def test_a_stream_is_playable_at_any_moment_and_ends_as_an_ordinary_file(tmp_path):
    frames = textured(25)
    partial = tmp_path / "out.partial" / "drive.mp4"
    writer = StreamingVideoWriter(partial, HEIGHT, WIDTH)
    for index, frame in enumerate(frames):
        writer.write(frame)
        if index in (1, 11, 24):
            with VideoReader(partial) as video:
                assert len(video) >= index
                assert which(video.read([len(video) - 1])[0], frames) == len(video) - 1
    final = writer.finish(tmp_path / "drive.mp4")
    assert not partial.exists()
    assert b"moov" in final.read_bytes()[:64], "the index is in front"
    assert b"moof" not in final.read_bytes()
    with VideoReader(final) as video:
        assert len(video) == 25
        assert is_close(video.read(0, 25), frames)


def test_an_interrupted_stream_keeps_its_frames(tmp_path):
    path = tmp_path / "drive.mp4"
    with pytest.raises(KeyboardInterrupt), StreamingVideoWriter(path, HEIGHT, WIDTH) as writer:
        writer.write_all(interrupted(textured(12), KeyboardInterrupt))
    assert len(VideoReader(path)) == 12


def test_a_writer_that_fails_leaves_nothing(tmp_path):
    with pytest.raises(RuntimeError), VideoWriter(tmp_path / "a.mp4", HEIGHT, WIDTH) as writer:
        writer.write_all(interrupted(textured(3), RuntimeError))
    assert list(tmp_path.iterdir()) == []


def test_lazy_frames_are_a_sequence(tmp_path):
    frames = FrameSequence(write_video(tmp_path / "a.mp4", 30))
    assert len(frames) == 30
    assert frames.shape == (30, HEIGHT, WIDTH, 3)
    assert frames[-1].shape == (HEIGHT, WIDTH, 3)
    np.testing.assert_array_equal(frames[2:11:4], np.stack([frames[2], frames[6], frames[10]]))
    assert frames[5:5].shape == (0, HEIGHT, WIDTH, 3)
    with pytest.raises(IndexError):
        frames[30]
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(frames))[7], frames[7])
    assert sum(1 for _ in frames) == 30


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda data: b"", "empty file"),
        (lambda data: b"\0" * 5000, "not a video"),
        (lambda data: b"frame,t\n0,0.0\n" * 50, "not a video"),
        (lambda data: data[: len(data) // 2], "truncated"),
        (lambda data: data[:200], "truncated"),
    ],
)
def test_broken_files_are_named_with_the_reason(tmp_path, damage, reason):
    data = write_video(tmp_path / "a.mp4", 60).read_bytes()
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(damage(data))
    with pytest.raises(ValueError, match=rf"broken\.mp4.*{reason}"):
        VideoReader(broken)


def test_an_mp4_cut_before_its_index_says_so(tmp_path):
    import av

    path = tmp_path / "index_last.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for frame in textured(30):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")))
        container.mux(stream.encode())
    data = path.read_bytes()
    path.write_bytes(data[: data.index(b"moov") - 20])
    with pytest.raises(ValueError, match=r"index_last\.mp4: truncated mp4: it ends before its index"):
        VideoReader(path)


def test_sizes_and_shapes_are_checked(tmp_path):
    with pytest.raises(ValueError, match=r"a\.mp4: frame size 31x64"):
        VideoWriter(tmp_path / "a.mp4", 31, 64)
    with pytest.raises(ValueError, match=r"no frame was written"), VideoWriter(tmp_path / "a.mp4", 32, 64):
        pass
    with pytest.raises(ValueError, match=r"frame 0: expected uint8"), VideoWriter(tmp_path / "a.mp4", 32, 64) as writer:
        writer.write(np.zeros((64, 32, 3), np.uint8))
    with pytest.raises(ValueError, match="no such file"):
        VideoReader(tmp_path / "missing.mp4")
