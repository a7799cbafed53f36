"""Reading frame by frame says what reading the stretch says, and smoothing follows what is sure."""

import numpy as np
import pytest
import torch

from worldmodel.perception.network import Perceiver, PerceptionConfig
from worldmodel.perception.reader import Reader
from worldmodel.perception.streaming import Smoother, StreamingReader

SHAPES = [
    PerceptionConfig(64, 128, widths=(8, 8, 8), maps=2, hidden=16),
    PerceptionConfig(64, 128, widths=(8, 8, 8), maps=2, hidden=16, context=4, row_maps=2, near=2, boxes=8),
]


@pytest.fixture(params=SHAPES, ids=["two frames", "four frames and boxes"])
def network(request):
    torch.manual_seed(0)
    return Perceiver(request.param)


def test_a_stream_reads_what_the_stretch_reads(network, weaving_64):
    drive = weaving_64
    readings = Reader(network).read(drive.frames, drive.t_s, drive.camera)
    stream = StreamingReader(network)
    glances = [stream.read(frame[None], drive.camera, dt_s=0.1) for frame in drive.frames]

    def column(name):
        return np.array([glance.columns[name][0] for glance in glances])

    close = {"rtol": 1e-3, "atol": 1e-4}
    np.testing.assert_allclose(column("speed_mps")[1:], readings.motion.speed_mps[:-1], **close)
    np.testing.assert_allclose(column("yaw_rate_radps")[1:], readings.motion.yaw_rate_radps[:-1], **close)
    np.testing.assert_allclose(column("lane_offset_m"), readings.numbers["lane_offset_m"], **close)
    np.testing.assert_allclose(column("off_road"), readings.flags["off_road"], **close)
    assert np.isnan(column("closing_speed_mps")[0])
    features = np.stack([glance.features[0] for glance in glances])
    np.testing.assert_allclose(features, readings.features, **close)


def test_rows_are_apart_and_a_forgotten_row_begins_anew(network, weaving_64):
    drive = weaving_64
    alone, among = StreamingReader(network), StreamingReader(network)
    for t in range(3):
        one = alone.read(drive.frames[[t + 2]], drive.camera, dt_s=0.1)
        if t == 0:
            among.read(drive.frames[[9, 9]], drive.camera, dt_s=0.1, rows=[4, 7])
            among.forget(7)
        both = among.read(drive.frames[[t, t + 2]], drive.camera, dt_s=0.1, rows=[4, 7])
        for name, column in one.columns.items():
            np.testing.assert_allclose(both.columns[name][1], column[0], rtol=1e-3, atol=1e-4)


def test_frames_of_another_size_are_refused(network, weaving_64):
    with pytest.raises(ValueError, match="expected 2 of shape"):
        StreamingReader(network).read(weaving_64.frames[:1], weaving_64.camera, dt_s=0.1, rows=[0, 1])


def test_a_smoother_believes_sure_readings_and_bridges_gaps():
    smoother = Smoother(wander=0.1)
    assert np.isnan(smoother.follow(np.array([np.nan]), np.array([1.0]), dt_s=0.1))[0]
    values = [smoother.follow(np.array([5.0]), np.array([0.01]), dt_s=0.1)[0]]
    values.append(smoother.follow(np.array([50.0]), np.array([100.0]), dt_s=0.1)[0])  # unsure: hardly moves
    values.append(smoother.follow(np.array([np.nan]), np.array([np.nan]), dt_s=0.1, drift=np.array([1.0]))[0])
    values.append(smoother.follow(np.array([9.0]), np.array([0.001]), dt_s=0.1)[0])  # sure: goes there
    assert values[0] == 5.0
    assert values[1] == pytest.approx(5.0, abs=0.1)
    assert values[2] == pytest.approx(values[1] + 1.0)
    assert values[3] == pytest.approx(9.0, abs=0.01)


def test_a_smoother_has_less_error_than_its_readings():
    rng = np.random.default_rng(0)
    truth = np.sin(np.arange(300) / 30)
    read = truth + rng.laplace(0, 0.5, 300)
    smoother = Smoother(wander=0.4)
    smooth = np.array([smoother.follow(np.array([r]), np.array([0.5]), dt_s=0.1)[0] for r in read])
    assert np.abs(smooth - truth)[20:].mean() < 0.5 * np.abs(read - truth).mean()
