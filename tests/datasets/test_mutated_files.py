"""Damaged files of every publisher: each ends in data that is sound, or in a ``ValueError`` that names what is wrong.

A mutation changes one file of a small drive. ``WORLDMODEL_MUTATIONS`` says how many per layout (a few dozen otherwise);
1000 make about 20,000 over all. A failure names the layout and the number of the mutation, which repeats it.
"""

import os
import random
import shutil
import time
import warnings

import numpy as np
import publishers as p
import pytest
from layouts import WRITERS, reader_of

from worldmodel.datasets.prepare import Settings, plan

BUDGET = int(os.environ.get("WORLDMODEL_MUTATIONS", "30"))
PICTURES = {".jpg", ".png"}
TEXT = {".csv", ".txt", ".json", ".jsonl", ".catalog"}
ODD = [
    b"nan",
    b"inf",
    b"-1e999",
    b'"',
    b",",
    b"\r",
    b"\n",
    b"\0",
    b"\0" * 40,
    b"[",
    b"{",
    b"}",
    "²".encode(),
    b"99999999",
]
ODD += [b"-1", b"null", b"true", b" ", b"\xff\xfe", b"1e308", b":", b"/../", b"%s", b"0"]


def mutated(data, random_):
    """One or a few edits: a cut, an insertion, flipped bits, a piece doubled elsewhere, the end missing."""
    data = bytearray(data)
    for _ in range(random_.choice([1, 1, 1, 2, 5])):
        at = random_.randrange(len(data) + 1)
        span = random_.choice([1, 2, 8, 40, 400])
        kind = random_.randrange(7)
        if kind == 0:
            data[at : at + span] = b""
        elif kind == 1:
            data[at:at] = random_.choice(ODD)
        elif kind == 2:
            data[at : at + random_.randrange(12)] = random_.choice(ODD)
        elif kind == 3:
            for place in range(at, min(len(data), at + random_.choice([1, 4, 16]))):
                data[place] ^= 1 << random_.randrange(8)
        elif kind == 4:
            piece, to = bytes(data[at : at + span]), random_.randrange(len(data) + 1)
            data[to:to] = piece
        elif kind == 5:
            data[at : at + span] = random_.randbytes(min(span, 40))
        else:
            del data[at:]
    return bytes(data)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """Every layout, written once."""
    folders = {}

    def get(name):
        if name not in folders:
            folders[name] = tmp_path_factory.mktemp(f"whole_{name}")
            WRITERS[name](folders[name])
        return folders[name]

    return get


@pytest.mark.timeout(max(900, 10 * BUDGET))
@pytest.mark.parametrize("name", sorted(WRITERS))
def test_a_mutated_file_ends_in_data_or_a_named_error(name, written, tmp_path):
    whole = written(name)
    files = sorted(path for path in whole.rglob("*") if path.is_file())
    tables, pictures = ([f for f in files if (f.suffix in PICTURES) == kind] for kind in (False, True))
    before = reader_of(name, whole)
    drive = before.drives()[-1]
    sound = before.open(drive)
    outcomes, failures = {"data": 0, "error": 0, "gone": 0}, []
    for number in range(BUDGET):
        random_ = random.Random(f"{name}/{number}")
        file = random_.choice(pictures if pictures and (random_.random() < 0.15 or not tables) else tables)
        root = tmp_path / str(number) / whole.name  # some drives are called as their folder
        shutil.copytree(whole, root, copy_function=os.link)
        damaged = root / file.relative_to(whole)
        damaged.unlink()
        damaged.write_bytes(mutated(file.read_bytes(), random_))
        told = f"{name}, mutation {number}, of {file.relative_to(whole)}"
        began_s = time.process_time()
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error", RuntimeWarning)
                outcomes[look(reader_of(name, root), drive, sound, damaged)] += 1
        except ValueError as error:
            outcomes["error"] += 1
            if str(root) not in str(error):
                failures.append(f"{told}: the error names no file: {error}")
        except Exception as error:
            failures.append(f"{told}: {type(error).__name__}: {error}")
        except BaseException:
            print(f"{told}: did not end")
            raise
        if time.process_time() - began_s > 10:
            failures.append(f"{told}: took {time.process_time() - began_s:.0f} s, which is a hang")
        shutil.rmtree(root.parent)
    print(f"{name}: {BUDGET} mutations, {outcomes}, {len(failures)} failures")
    assert not failures, "\n".join(failures)
    assert outcomes["gone"] <= BUDGET / 5, "a drive that is not found is not looked at"
    if BUDGET >= 20 and tables:
        assert outcomes["data"], "some damage can be lived with"


def look(source, drive, sound, damaged):
    """Read everything there is; what comes is sound, and rows of a damaged text are lost, not exchanged."""
    drives = source.drives()
    if drive not in drives:
        return "gone"
    recording = source.open(drive)
    count = len(recording)
    assert 0 < count <= 4 * p.COUNT
    assert np.isfinite(recording.t_s).all()
    assert recording.motion.shape == recording.breaks.shape == recording.usable.shape == (count,)
    recording.motion.validate()
    recording.camera.validate()
    assert (np.diff(recording.t_s)[~recording.breaks[1:]] > 0).all(), "time stands still"
    for column in recording.columns.values():
        assert column.shape == (count,)
    assert plan(source, drive, Settings(32, 64, 4)).drive_id == drive
    rows = np.flatnonzero(recording.usable)
    frames = list(recording.frames(rows.tolist()))
    assert len(frames) == len(rows)
    assert all(f is None or (f.ndim == 3 and f.dtype == np.uint8) for f in frames)
    if damaged.suffix in TEXT:
        # A frame knows its own number, so it shows whether the row beside it is still its own.
        index = np.array([-1 if f is None else p.index_of(f) for f in frames])
        seen = (index >= 0) & (index < len(sound))
        if seen.any():
            off = recording.t_s[rows[seen]] - sound.t_s[index[seen]]
            wrong = np.abs(off - np.median(off)) > 0.02
            assert wrong.sum() <= 6, f"{int(wrong.sum())} frames beside times of others"
            # Half a row off would be 0.17 m/s and 0.12 of the largest turn. A reading a second reaches over
            # two, and what is steered acts for half a second.
            few = 22 if damaged.parent.parent.name == "100k" else 10 if damaged.name == "driving_log.csv" else 6
            turning = float(np.nanmax(np.abs(sound.motion.yaw_rate_radps), initial=0.25))
            for channel, near in (("speed_mps", 0.15), ("yaw_rate_radps", 0.08 * turning)):
                value, was = (getattr(r.motion, channel)[i] for r, i in ((recording, rows[seen]), (sound, index[seen])))
                known = np.isfinite(value) & np.isfinite(was)
                changed = np.abs(value - was)[known] > near
                evenly = np.ptp((value / np.where(was == 0, 1, was))[known]) < 0.05 if known.any() else True
                assert evenly or changed.sum() <= few, f"{int(changed.sum())} rows of {channel} that was never driven"
    return "data"
