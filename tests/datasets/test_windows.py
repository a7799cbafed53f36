"""Windows: never across two stretches, batches a pure function of (seed, k), splits by drive or place."""

import dataclasses
import subprocess
import sys

import numpy as np
import pytest
from conftest import HEIGHT, WIDTH

from worldmodel.datasets.windows import ClipWindows, MemoryEpisode, load_all, split
from worldmodel.geometry.camera import canonical_camera
from worldmodel.types import Clip, EgoMotion, Tags


def stretch(name, length, *, place="", value=0, size=(HEIGHT, WIDTH)):
    """Every pixel of frame i is (value, i): a window says itself where it is from."""
    frames = np.zeros((length, *size, 3), np.uint8)
    frames[..., 0], frames[..., 1] = value, np.arange(length)[:, None, None]
    motion = EgoMotion(np.arange(length) * 1.0, np.full(length, np.nan))
    camera, mask = canonical_camera(*size), np.ones(size, bool)
    clip = Clip(frames, np.arange(length) * 0.1, motion, Tags.unknown((length,)), camera, mask)
    return MemoryEpisode.of(clip, drive_id=name, place_id=place)


def test_windows_are_all_there_and_within_one_stretch():
    windows = ClipWindows(
        [stretch("a", 10, value=1), stretch("b", 7, value=2), stretch("c", 3)], length=4, batch_size=5
    )
    assert len(windows) == 7 + 4
    seen = set()
    for k in range(60):
        batch = windows.batch(k)
        for frames, motion in zip(batch.frames, batch.motion):
            assert len(np.unique(frames[..., 0])) == 1, "a window lies in one stretch"
            index = frames[:, 0, 0, 1].astype(int)
            assert (np.diff(index) == 1).all()
            np.testing.assert_array_equal(motion[:, 0], index)
            seen.add((int(frames[0, 0, 0, 0]), int(index[0])))
    assert seen == {(1, i) for i in range(7)} | {(2, i) for i in range(4)}


def test_a_batch_has_the_promised_shapes_and_marks_what_is_unknown():
    windows = ClipWindows([stretch("a", 6)], length=6, batch_size=2)
    batch = windows.batch(0)
    assert batch.frames.shape == (2, 6, HEIGHT, WIDTH, 3)
    assert batch.frames.dtype == np.uint8
    assert (batch.motion.shape, batch.motion.dtype) == ((2, 6, 2), np.float32)
    assert batch.tags.shape == (2, 6, 5)
    assert batch.valid_mask.shape == (2, HEIGHT, WIDTH)
    assert np.isnan(batch.motion[..., 1]).all()
    assert np.isnan(batch.camera_height_m).all()
    np.testing.assert_allclose(batch.dt_s[:, :-1], 0.1, rtol=1e-5)
    assert np.isnan(batch.dt_s[:, -1]).all(), "nothing follows the last frame of a stretch"


def test_batch_k_is_a_function_of_seed_and_k_alone():
    stretches = [stretch(name, 20, value=i) for i, name in enumerate("abcd")]
    one = ClipWindows(stretches, length=5, batch_size=4, seed=3)
    other = ClipWindows(stretches[::-1], length=5, batch_size=4, seed=3)
    later = other[7]
    for k in range(5):
        one.batch(k)
    for a, b in zip(one[7], later):
        np.testing.assert_array_equal(a, b)
    assert one.draw(7) != one.draw(8)
    assert one.draw(7) != ClipWindows(stretches, length=5, batch_size=4, seed=4).draw(7)


def test_sets_are_mixed_by_weight():
    sets = {"small": [stretch("s", 8, value=1)], "large": [stretch(f"l{i}", 50, value=2) for i in range(9)]}
    windows = ClipWindows(sets, length=4, batch_size=50, weights={"small": 3, "large": 1})
    values = np.concatenate([windows.batch(k).frames[:, 0, 0, 0, 0] for k in range(20)])
    assert 0.70 < (values == 1).mean() < 0.80
    only = ClipWindows(sets, length=4, batch_size=50, weights={"large": 1})
    assert (only.batch(0).frames[:, 0, 0, 0, 0] == 2).all()
    natural = ClipWindows(sets, length=4, batch_size=200)
    assert (natural.batch(0).frames[:, 0, 0, 0, 0] == 1).mean() < 0.05


def test_mistakes_are_named():
    with pytest.raises(ValueError, match=r"set 'all': no stretch of 30 frames; the longest has 20"):
        ClipWindows([stretch("a", 20)], length=30)
    with pytest.raises(ValueError, match=r"no set named \['x'\]"):
        ClipWindows({"a": [stretch("a", 20)]}, length=4, weights={"x": 1})
    with pytest.raises(ValueError, match="positive sum"):
        ClipWindows({"a": [stretch("a", 20)]}, length=4, weights={"a": 0})
    with pytest.raises(ValueError, match="different sizes"):
        ClipWindows([stretch("a", 20), stretch("b", 20, size=(16, 32))], length=4)


def test_windows_in_order_do_not_overlap():
    windows = ClipWindows([stretch("a", 11, value=1), stretch("b", 5, value=2)], length=4, batch_size=2)
    frames = np.concatenate([batch.frames[:, :, 0, 0, :2] for batch in windows.in_order()])
    assert [(int(w[0, 0]), w[:, 1].tolist()) for w in frames] == [
        (1, [0, 1, 2, 3]),
        (1, [4, 5, 6, 7]),
        (2, [0, 1, 2, 3]),
    ]


def test_from_disk_and_from_memory_are_the_same(small_set):
    disk = ClipWindows(list(small_set), length=8, batch_size=3, seed=1)
    memory = ClipWindows(load_all(list(small_set)), length=8, batch_size=3, seed=1)
    for k in range(3):
        for a, b in zip(disk.batch(k), memory.batch(k)):
            np.testing.assert_array_equal(a, b)
    assert (~disk[0].valid_mask).any()
    np.testing.assert_allclose(disk[0].camera_height_m, 1.2)


def test_splits_keep_drives_and_places_whole():
    stretches = [stretch(f"drive{i}/{part}", 20, place=f"place{i % 20}") for i in range(60) for part in range(2)]
    for by in ("drive", "place"):
        train, held_out = split(stretches, held_out=0.2, by=by)
        ids = [{getattr(s.info, f"{by}_id") for s in side} for side in (train, held_out)]
        assert not ids[0] & ids[1]
        assert len(train) + len(held_out) == len(stretches)
        assert 0.05 < len(held_out) / len(stretches) < 0.4


def test_a_publisher_s_split_is_taken_where_every_drive_has_one():
    def named(name, kind):
        one = stretch(name, 20)
        return dataclasses.replace(one, info=dataclasses.replace(one.info, split=kind))

    kinds = {f"drive{i}": ("train", "val", "test")[min(2, i % 7)] for i in range(20)}
    train, held_out = split([named(*item) for item in kinds.items()])
    expected = {name for name, kind in kinds.items() if kind != "train"}
    assert {s.info.drive_id for s in held_out} == expected
    assert {s.info.drive_id for s in train} == set(kinds) - expected
    mixed = [named(*item) for item in kinds.items()] + [stretch("other", 20)]
    assert {s.info.drive_id for s in split(mixed)[1]} != expected, "where one has none, the hash decides for all"


def test_a_drive_stays_on_its_side_when_others_join():
    few = [stretch(f"drive{i}", 20) for i in range(40)]
    many = few + [stretch(f"more{i}", 20) for i in range(40)]
    out_of_few = {s.info.drive_id for s in split(few, held_out=0.2)[1]}
    out_of_many = {s.info.drive_id for s in split(many, held_out=0.2)[1]}
    assert out_of_few == {d for d in out_of_many if d.startswith("drive")}


def test_something_is_held_out_and_something_kept_when_possible():
    for count in (2, 3, 5):
        train, held_out = split([stretch(f"d{i}", 9) for i in range(count)], held_out=0.01)
        assert train
        assert held_out
    train, held_out = split([stretch("only", 9)], held_out=0.1)
    assert (len(train), len(held_out)) == (1, 0)
    assert split([stretch(f"d{i}", 9) for i in range(4)], held_out=0.0)[1] == []


def test_windows_need_neither_a_codec_nor_parquet():
    program = (
        "import sys\n"
        "sys.modules['av'] = sys.modules['pyarrow'] = None\n"
        "import worldmodel.datasets.windows, worldmodel.datasets.timing, worldmodel.datasets.alignment\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_a_torch_loader_hands_out_steps(small_set):
    torch = pytest.importorskip("torch")
    windows = ClipWindows(list(small_set), length=8, batch_size=3, seed=1)
    loader = torch.utils.data.DataLoader(windows, batch_size=None, sampler=range(5, 9), num_workers=1)
    for k, batch in zip(range(5, 9), loader):
        np.testing.assert_array_equal(np.asarray(batch.frames), windows[k].frames)
