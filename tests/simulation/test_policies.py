"""Drivers and their handicaps, by name and from files: what is declared is what the network gets."""

import numpy as np
import pytest
import torch

from worldmodel.simulation.policies.handicaps import Delay, SteeringGain, SteeringNoise
from worldmodel.simulation.policies.library import Tools, names, open_policy, slug
from worldmodel.simulation.policies.network_file import Declaration, NetworkFile
from worldmodel.simulation.policies.oracle import oracle
from worldmodel.simulation.policies.policy import Observation
from worldmodel.types import Controls


def seen(rows=2, speed=10.0, frames=None, truth=None):
    frames = np.zeros((rows, 32, 64, 3), dtype=np.uint8) if frames is None else frames
    return Observation(frames, np.full(len(frames), speed), np.zeros(len(frames)), 0.1, truth)


class Ramp:
    """Says how often it was asked."""

    name, needs_truth = "ramp", False

    def __init__(self):
        self.asked = 0

    def reset(self, row, *, seed):
        pass

    def act(self, observation):
        self.asked += 1
        return Controls(np.array(float(self.asked)), np.array(self.asked / 100))


def asked(policy, times, rows=2):
    for row in range(rows):
        policy.reset(row, seed=row)
    return [policy.act(seen(rows)) for _ in range(times)]


def test_handicaps_do_what_they_say():
    assert [c.curvature_1pm[0] for c in asked(SteeringGain(Ramp(), 0.5), 3)] == pytest.approx([0.005, 0.01, 0.015])
    late = asked(Delay(Ramp(), 0.3), 6)
    assert [c.accel_mps2[1] for c in late] == [0, 0, 0, 1, 2, 3]
    noisy = asked(SteeringNoise(Ramp(), 2.0), 400, rows=2)
    aside = np.array([c.curvature_1pm - (i + 1) / 100 for i, c in enumerate(noisy)]) * 10**2
    assert aside.std() == pytest.approx(2.0, rel=0.25)
    assert abs(np.corrcoef(aside.T)[0, 1]) < 0.3  # rows have noise of their own
    np.testing.assert_array_equal(noisy[7].curvature_1pm, asked(SteeringNoise(Ramp(), 2.0), 8)[7].curvature_1pm)


def test_names_say_handicaps_and_mistakes_are_named():
    policy = open_policy("random+gain=0.5+delay=0.3")
    assert policy.name == "random+gain=0.5+delay=0.3"
    for name, message in {
        "random+gian=2": "'gian' is no handicap; there are gain, delay, noise",
        "random+gain=much": "expected a number",
        "idm-normale": "did you mean 'idm-normal'",
        "imitation-small": "python -m worldmodel.simulation.imitating --budget small",
        "nowhere.onnx": "no such file",
        "random+delay=-1": "seconds from 0",
    }.items():
        with pytest.raises(ValueError, match=message):
            open_policy(name, Tools(imitation="/nonexistent"))
    assert "/" not in slug("http://localhost:8000/drive")
    assert {"idm-timid", "idm-normal", "idm-aggressive", "pursuit", "mpc", "recorded"} <= set(names())


def test_styles_differ_as_their_names_say():
    truth = {
        "curvature_ahead_1pm": np.zeros(1), "lane_offset_m": np.zeros(1), "heading_error_rad": np.zeros(1),
        "speed_limit_mps": np.array([25.0]), "gap_m": np.array([30.0]), "closing_speed_mps": np.array([2.0]),
    }  # fmt: skip
    accel = {
        style: oracle(style).act(seen(1, 20.0, truth=truth)).accel_mps2[0]
        for style in ("timid", "normal", "aggressive")
    }
    assert accel["timid"] < accel["normal"] < accel["aggressive"]


class Brightness(torch.nn.Module):
    """Accelerates by the mean of the newest frame, steers by speed over a thousand."""

    def forward(self, image: torch.Tensor, speed: torch.Tensor) -> torch.Tensor:
        newest = image[:, -3:].mean(dim=(1, 2, 3))
        return torch.stack([newest, speed[:, 0] / 1000], dim=1)


DECLARED = """
frame: {name: image, size: [16, 32], layout: chw, scale: [-1, 1], stack: 2}
speed: {name: speed, unit: kmh}
outputs: [accel_mps2, curvature_1pm]
"""


def torchscript(folder, declared=DECLARED):
    path = folder / "bright.pt"
    torch.jit.script(Brightness()).save(str(path))
    (folder / "bright.yaml").write_text(declared)
    return path


def check_brightness(policy):
    for row in range(3):
        policy.reset(row, seed=0)
    frames = np.zeros((3, 32, 64, 3), dtype=np.uint8)
    frames[1], frames[2] = 255, 51
    controls = policy.act(seen(frames=frames))
    np.testing.assert_allclose(controls.accel_mps2, [-1.0, 1.0, -0.6], atol=1e-5)
    np.testing.assert_allclose(controls.curvature_1pm, 0.036, atol=1e-6)


@pytest.mark.parametrize("batch", ["any", "1"])
def test_a_torchscript_network_gets_what_it_declares(tmp_path, batch):
    check_brightness(open_policy(str(torchscript(tmp_path, DECLARED + f"batch: {batch}\n"))))


def test_an_onnx_network_gets_what_it_declares(tmp_path):
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    from onnx import TensorProto, helper

    nodes = [
        helper.make_node("Slice", ["image", "from", "to", "axis"], ["newest"]),
        helper.make_node("ReduceMean", ["newest", "axes"], ["mean"], keepdims=0),
        helper.make_node("Unsqueeze", ["mean", "axis"], ["accel"]),
        helper.make_node("Div", ["speed", "thousand"], ["curvature"]),
        helper.make_node("Concat", ["accel", "curvature"], ["out"], axis=1),
    ]
    constants = {
        name: helper.make_tensor(name, TensorProto.INT64, [len(v)], v)
        for name, v in {"from": [3], "to": [6], "axis": [1], "axes": [1, 2, 3]}.items()
    }
    thousand = helper.make_tensor("thousand", TensorProto.FLOAT, [1], [1000.0])
    graph = helper.make_graph(
        nodes,
        "bright",
        [
            helper.make_tensor_value_info("image", TensorProto.FLOAT, ["b", 6, 16, 32]),
            helper.make_tensor_value_info("speed", TensorProto.FLOAT, ["b", 1]),
        ],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, ["b", 2])],
        [*constants.values(), thousand],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.save(model, str(tmp_path / "bright.onnx"))
    (tmp_path / "bright.yaml").write_text(DECLARED)
    check_brightness(open_policy(str(tmp_path / "bright.onnx")))
    (tmp_path / "bright.yaml").write_text(DECLARED.replace("name: image", "name: picture"))
    with pytest.raises(ValueError, match="network's inputs are"):
        open_policy(str(tmp_path / "bright.onnx"))


def test_steering_angles_become_curvature(tmp_path):
    declared = DECLARED.replace("curvature_1pm", "steering_rad") + "wheelbase_m: 2.0\n"
    policy = NetworkFile(torchscript(tmp_path, declared))
    policy.reset(0, seed=0)
    controls = policy.act(seen(1))
    assert controls.curvature_1pm[0] == pytest.approx(np.tan(0.036) / 2.0, rel=1e-4)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("frame: {size: [16]}", r"bright.yaml:1: frame.size: expected two numbers"),
        ("frame: {layout: cwh}", "frame.layout: expected chw or hwc"),
        ("outputs: [curvature_1pm]", "outputs: expected accel_mps2 and"),
        ("frames: {}", "frames"),
        ("speed: {unit: knots}", "speed.unit: expected one of mps, kmh"),
    ],
)
def test_a_declaration_that_is_wrong_is_named(tmp_path, line, message):
    with pytest.raises(ValueError, match=message):
        Declaration.load(torchscript(tmp_path, line).with_suffix(".yaml"))


def test_a_network_without_a_declaration_is_named(tmp_path):
    path = torchscript(tmp_path)
    path.with_suffix(".yaml").unlink()
    with pytest.raises(ValueError, match="says what the network beside it wants"):
        open_policy(str(path))
