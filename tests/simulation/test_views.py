"""Rerun and Foxglove files, read back by those tools' own libraries."""

import base64
import json

import cv2
import numpy as np
import pytest

from worldmodel.geometry.motion import dead_reckon
from worldmodel.simulation.views import parse_views, write_views
from worldmodel.types import EgoMotion

T_S = np.arange(6) * 0.1
MOTION = EgoMotion(np.array([5.0, 6, 7, 8, 9, np.nan]), np.array([0.1] * 5 + [np.nan]))
SHADES = {"true": np.arange(6) * 30 + 20, "learned": np.arange(6) * 10 + 100}
PICTURES = {
    name: np.broadcast_to(shades[:, None, None, None], (6, 32, 64, 3)).astype(np.uint8)
    for name, shades in SHADES.items()
}
SCALARS = {"ssim": np.array([0.9, 0.8, np.nan, 0.6, 0.5, 0.4])}


def test_foxglove_reads_frames_path_and_scalars_at_their_times(tmp_path):
    reader = pytest.importorskip("mcap.reader")
    path = write_views("mcap", tmp_path / "x.mcap", T_S, PICTURES, MOTION, SCALARS)
    assert [file.name for file in tmp_path.iterdir()] == ["x.mcap"]
    read = {}
    with path.open("rb") as file:
        for schema, channel, message in reader.make_reader(file).iter_messages():
            assert json.loads(schema.data)["title"] == schema.name
            content = json.loads(message.data)
            read.setdefault((schema.name, channel.topic), []).append((message.log_time / 1e9, content))
    for name, shades in SHADES.items():
        images = read["foxglove.CompressedImage", f"/camera/{name}"]
        np.testing.assert_allclose([time_s for time_s, _ in images], T_S)
        coded = [np.frombuffer(base64.b64decode(image["data"]), dtype=np.uint8) for _, image in images]
        seen = [cv2.imdecode(each, cv2.IMREAD_COLOR).mean() for each in coded]
        np.testing.assert_allclose(seen, shades, atol=2)
    (_, first), *_ = read["foxglove.PosesInFrame", "/path"]
    places = np.array([[pose["position"]["x"], pose["position"]["y"]] for pose in first["poses"]])
    np.testing.assert_allclose(places, dead_reckon(MOTION, T_S)[:, :2])
    values = read["worldmodel.Scalar", "/ssim"]
    np.testing.assert_allclose([time_s for time_s, _ in values], T_S[[0, 1, 3, 4, 5]])
    assert len(read["worldmodel.Scalar", "/motion/speed_mps"]) == 5


def test_rerun_reads_frames_path_and_scalars_at_their_times(tmp_path):
    pytest.importorskip("rerun")
    chunk = pytest.importorskip("rerun.chunk")
    path = write_views("rrd", tmp_path / "x.rrd", T_S, PICTURES, MOTION, SCALARS)
    rows = {}
    for piece in chunk.RrdReader(path).stream().to_chunks():
        table = piece.to_record_batch()
        rows.setdefault(piece.entity_path, []).append(table)
    for name in SHADES:
        tables = rows[f"/camera/{name}"]
        assert sum(table.num_rows for table in tables) == 6
        column = next(field.name for field in tables[0].schema if "blob" in field.name)
        blobs = [bytes(np.array(cell[0], dtype=np.uint8)) for table in tables for cell in table[column].to_pylist()]
        seen = [cv2.imdecode(np.frombuffer(blob, dtype=np.uint8), cv2.IMREAD_COLOR).mean() for blob in blobs]
        np.testing.assert_allclose(sorted(seen), SHADES[name], atol=2)
    tables = rows["/ssim"]
    column = next(field.name for field in tables[0].schema if "scalars" in field.name.lower())
    values = [cell[0] for table in tables for cell in table[column].to_pylist()]
    np.testing.assert_allclose(sorted(values), [0.4, 0.5, 0.6, 0.8, 0.9])
    times = [value.total_seconds() for table in tables for value in table["time"].to_pylist()]
    np.testing.assert_allclose(sorted(times), T_S[[0, 1, 3, 4, 5]], atol=1e-6)
    assert "/path" in rows


def test_views_are_checked_before_anything_is_run():
    assert parse_views("") == ()
    with pytest.raises(ValueError, match="views: 'rdr' is not one of rrd, mcap"):
        parse_views("rdr")


def test_a_view_whose_extra_is_absent_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "mcap", None)
    with pytest.raises(ValueError, match=r"views=mcap: needs the viz extra: pip install 'worldmodel\[viz\]'"):
        parse_views("mcap")
