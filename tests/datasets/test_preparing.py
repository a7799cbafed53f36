"""Preparing: from any source to episodes; parallel, resumable after a kill at any moment, and honest in its report."""

import argparse
import contextlib
import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from conftest import HEIGHT, WIDTH, check_whole, textured, write_video

from worldmodel.datasets import prepare as preparing
from worldmodel.datasets.episodes import EpisodeDataset
from worldmodel.datasets.prepare import Settings, parse_size, prepare, summary
from worldmodel.datasets.readers.recordings import Recordings
from worldmodel.datasets.source import Recording
from worldmodel.geometry.camera import HORIZON, CanonicalView, nominal_camera
from worldmodel.types import EgoMotion, Tags

SMALL = Settings(HEIGHT, WIDTH, min_frames=4)


@dataclasses.dataclass(frozen=True)
class Painted:
    """A source whose frames say their row in every pixel, with gaps and bad frames where asked."""

    rate_hz: float = 10.0
    rows: int = 60
    bad: tuple[int, ...] = ()
    pauses: tuple[int, ...] = ()
    names: tuple[str, ...] = ("a", "b", "c")
    name: str = "painted"

    def drives(self):
        return sorted(self.names)

    def open(self, drive_id):
        if drive_id == "broken":
            raise ValueError("broken.log: the disk ate it")
        steps = np.full(self.rows, 1 / self.rate_hz)
        steps[list(self.pauses)] = 5.0
        return Recording(
            drive_id=drive_id,
            place_id="town",
            t_s=np.cumsum(steps),
            motion=EgoMotion(np.arange(self.rows) * 0.1, np.full(self.rows, 0.02)),
            speed_source="measured",
            yaw_rate_source="measured",
            camera=dataclasses.replace(nominal_camera(WIDTH, HEIGHT, 65.2, horizon=HORIZON), height_m=1.5),
            frames=self.frames,
            breaks=np.zeros(self.rows, bool),
            usable=np.ones(self.rows, bool),
            tags=Tags.unknown((self.rows,)),
            licence="CC0",
        )

    def frames(self, rows):
        for row in rows:
            yield None if row in self.bad else np.full((HEIGHT, WIDTH, 3), row * 2, np.uint8)


def painted_rows(episode):
    return np.rint(episode.read(0, episode.length)[:, HEIGHT // 2, WIDTH // 2].mean(axis=1) / 2).astype(int)


@pytest.mark.parametrize(("rate_hz", "stride"), [(10, 1), (30, 3), (25, 2)])
def test_frames_times_and_motion_of_an_episode_belong_together(tmp_path, rate_hz, stride):
    source = Painted(rate_hz=rate_hz, names=("a",))
    prepare(source, tmp_path, SMALL, workers=0, progress=False)
    (episode,) = EpisodeDataset(tmp_path)
    rows = episode.columns["source_frame"]
    np.testing.assert_array_equal(rows, np.arange(0, 60, stride))
    assert np.abs(painted_rows(episode) - rows).max() <= 1
    np.testing.assert_allclose(np.diff(episode.t_s), stride / rate_hz)
    # Speed rises by 0.1 a row: from frame t on, the mean over the rows up to the next frame, never one before t.
    expected = (rows + (stride - 1) / 2) * 0.1
    np.testing.assert_allclose(episode.motion.speed_mps[:-1], expected[:-1], rtol=1e-4)
    assert np.isnan(episode.motion.speed_mps[-1])
    assert episode.info.camera.height_m == 1.5


def test_a_bad_frame_and_a_pause_end_an_episode(tmp_path):
    source = Painted(bad=(10, 30), pauses=(20,), names=("a",))
    (report,) = prepare(source, tmp_path, SMALL, workers=0, progress=False)
    rows = [e.columns["source_frame"].tolist() for e in EpisodeDataset(tmp_path)]
    assert rows == [list(range(10)), list(range(11, 20)), list(range(20, 30)), list(range(31, 60))]
    assert (report.episodes, report.frames) == (4, 58)


def test_short_stretches_are_dropped_and_counted(tmp_path):
    source = Painted(pauses=(3, 20), names=("a",))
    (report,) = prepare(source, tmp_path, SMALL, workers=0, progress=False)
    assert (report.episodes, report.dropped_frames) == (2, 3)


def test_a_bad_drive_is_rejected_by_name_and_the_others_are_prepared(tmp_path):
    reports = prepare(Painted(names=("a", "broken")), tmp_path, SMALL, workers=0, progress=False)
    text = summary(reports)
    assert "1 of 2" in text
    assert "rejected  broken.log: the disk ate it" in text
    assert "known motion 100%" in " ".join(text.split())
    slow = prepare(Painted(rate_hz=2, names=("slow_one",)), tmp_path / "slow", SMALL, workers=0, progress=False)
    assert slow[0].error.startswith("slow_one: times: a frame every 500 ms")
    assert not (tmp_path / "slow" / "data").exists()


def test_a_dry_run_writes_nothing_and_tells_the_same(tmp_path):
    planned = prepare(Painted(), tmp_path / "out", SMALL, dry_run=True, progress=False)
    assert not (tmp_path / "out").exists()
    done = prepare(Painted(), tmp_path / "out", SMALL, workers=0, progress=False)
    assert planned == done


def test_a_second_run_does_nothing_and_new_drives_join(tmp_path, monkeypatch):
    prepare(Painted(names=("b", "d")), tmp_path, SMALL, workers=0, progress=False)
    before = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*.mp4")}
    ids = {e.episode_id: e.frames_hash for e in EpisodeDataset(tmp_path)}
    reports = prepare(Painted(names=("a", "b", "c", "d")), tmp_path, SMALL, workers=0, progress=False)
    assert [r.episodes for r in reports] == [1, 1, 1, 1]
    assert all(path.stat().st_mtime_ns == stamp for path, stamp in before.items())
    after = {e.episode_id: e.frames_hash for e in EpisodeDataset(tmp_path)}
    assert len(after) == 4
    assert ids.items() <= after.items()


def test_another_size_into_the_same_folder_is_refused(tmp_path):
    prepare(Painted(), tmp_path, SMALL, limit=1, workers=0, progress=False)
    with pytest.raises(ValueError, match=r"was prepared with .*'height_px': 32.* choose another --out"):
        prepare(Painted(), tmp_path, Settings(64, 128), workers=0, progress=False)


def test_a_disk_too_small_is_told_before_the_start(tmp_path, monkeypatch):
    usage = type("Usage", (), {"free": 10})
    monkeypatch.setattr(preparing.shutil, "disk_usage", lambda _: usage)
    with pytest.raises(ValueError, match=r"are needed, 0 MB are free"):
        prepare(Painted(), tmp_path, SMALL, workers=0, progress=False)


def test_workers_do_what_one_process_does(tmp_path):
    for name in ("x", "y", "z"):
        write_video(tmp_path / "in" / f"{name}.mp4", 30, seed=ord(name))
    source = Recordings(tmp_path / "in")
    one = prepare(source, tmp_path / "one", SMALL, workers=0, progress=False)
    two = prepare(source, tmp_path / "two", SMALL, workers=2, progress=False)
    assert one == two
    pairs = list(zip(EpisodeDataset(tmp_path / "one"), EpisodeDataset(tmp_path / "two")))
    assert len(pairs) == 3
    for a, b in pairs:
        assert (a.episode_id, a.frames_hash) == (b.episode_id, b.frames_hash)
        assert a.video_path.read_bytes() == b.video_path.read_bytes()


def test_the_contact_sheet_shows_every_drive(tmp_path):
    prepare(Painted(), tmp_path, SMALL, workers=0, progress=False)
    sheet = cv2.imread(str(tmp_path / "contact_sheet.png"))
    assert sheet.shape == (3 * (HEIGHT + 16), 6 * WIDTH, 3)


def test_frames_are_seen_through_the_canonical_camera(tmp_path):
    write_video(tmp_path / "in" / "wide.mp4", 20, height=48, width=96)
    source = Recordings(tmp_path / "in", [{"camera": {"hfov_deg": 100, "horizon": 0.3}}])
    prepare(source, tmp_path / "out", SMALL, workers=0, progress=False)
    (episode,) = EpisodeDataset(tmp_path / "out")
    view = CanonicalView.of(source.open("wide").camera, HEIGHT, WIDTH)
    expected = np.stack([view.apply(f) for f in textured(20, 48, 96)])
    assert np.abs(episode.read(0, 20).astype(float) - expected).mean() < 10
    np.testing.assert_array_equal(episode.info.valid_mask, view.valid_mask)


@pytest.mark.parametrize("text", ["128", "128x", "x256", "127x256", "axb", "0x10", "128X256x3", "-2x4"])
def test_sizes_are_two_even_numbers(text):
    assert parse_size("128x256") == (128, 256)
    with pytest.raises(ValueError, match="--size"):
        parse_size(text)


@pytest.mark.parametrize(("option", "least"), [("--limit", 1), ("--min-frames", 2), ("--workers", 0)])
def test_counts_on_the_command_line_are_counts(option, least, capsys):
    parser = argparse.ArgumentParser()
    preparing.add_arguments(parser, "out")
    assert getattr(parser.parse_args([option, str(least)]), option[2:].replace("-", "_")) == least
    for text in (str(least - 1), "-1", "many", "1.5"):
        with pytest.raises(SystemExit):
            parser.parse_args([option, text])
        assert f"expected a whole number from {least}" in capsys.readouterr().err.replace("\n", " ") or text == "-1"


def test_a_folder_that_is_not_there_is_told(tmp_path, capsys):
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    preparing.add_arguments(parser, str(tmp_path / "out"))
    for folder, status in (("no", 1), (".", 0)):
        arguments = parser.parse_args([str(tmp_path / folder), "--size", "32x64", "--dry-run"])
        assert preparing.run(Painted(), arguments) == status
    assert capsys.readouterr().err.startswith(f"{tmp_path}/no: no such folder")


TORMENTED = dict(rows=90, bad=(40,), pauses=(70,), names=tuple("abcdef"))
PREPARE = """
import sys
sys.path.insert(0, sys.argv[2])
from pathlib import Path
import killing
import test_preparing as t
from conftest import check_whole
root = Path(sys.argv[1])
prepare = lambda: t.prepare(t.Painted(**t.TORMENTED), root, t.SMALL, workers=0, progress=False)
killing.torment(prepare, lambda: check_whole(root), times=8, longest_s=0.4)
"""


def test_preparing_killed_at_random_moments_ends_as_if_it_had_not_been(tmp_path):
    folder = str(Path(__file__).parent)
    subprocess.run([sys.executable, "-c", PREPARE, str(tmp_path / "killed"), folder], check=True)
    prepare(Painted(**TORMENTED), tmp_path / "whole", SMALL, workers=0, progress=False)
    killed, whole = EpisodeDataset(tmp_path / "killed"), EpisodeDataset(tmp_path / "whole")
    assert len(killed) == len(whole) == 18
    assert [(e.episode_id, e.frames_hash) for e in killed] == [(e.episode_id, e.frames_hash) for e in whole]
    totals = [json.loads((d.root / "meta/info.json").read_text())["total_frames"] for d in (killed, whole)]
    assert totals[0] == totals[1] == 6 * 89
    assert not [p for p in (tmp_path / "killed").rglob("*") if ".tmp" in p.name or ".old" in p.name]


WORKERS = """
import sys
sys.path.insert(0, sys.argv[2])
import test_preparing as t
if __name__ == "__main__":
    t.prepare(t.Painted(**t.TORMENTED), sys.argv[1], t.SMALL, workers=2, progress=False)
"""


@pytest.mark.slow
def test_workers_end_with_their_parent_and_leave_a_whole_set(tmp_path):
    program = tmp_path / "program.py"
    program.write_text(WORKERS)
    command = [sys.executable, str(program), str(tmp_path / "set"), str(Path(__file__).parent)]
    process = subprocess.Popen(command, start_new_session=True)
    give_up = time.monotonic() + 60
    while not list((tmp_path / "set").glob("data/*/*.parquet")) and time.monotonic() < give_up:
        time.sleep(0.01)
    process.kill()
    process.wait()
    with contextlib.suppress(ProcessLookupError):
        while time.monotonic() < give_up:  # the workers notice, and end
            os.killpg(process.pid, 0)
            time.sleep(0.05)
        os.killpg(process.pid, signal.SIGKILL)
        pytest.fail("workers outlived their parent")
    check_whole(tmp_path / "set")
    subprocess.run(command, check=True)
    assert len(EpisodeDataset(tmp_path / "set")) == 18
