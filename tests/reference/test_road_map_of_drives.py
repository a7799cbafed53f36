"""The map of a reference drive lies where its truth says the lanes are."""

import numpy as np
import pytest

from worldmodel.geometry.camera import canonical_camera
from worldmodel.geometry.road import POINTS, window
from worldmodel.reference.drive import render_drive
from worldmodel.reference.options import draw_options
from worldmodel.simulation.beginning import begin_reference
from worldmodel.simulation.policies.oracle import OracleKeeper
from worldmodel.simulation.scenario import ReferenceContext, ScenarioFile
from worldmodel.types import Tags

CAMERA = canonical_camera(32, 64, height_m=1.4)


@pytest.mark.parametrize("seed", range(6))
def test_the_ego_is_as_far_from_its_edges_as_the_truth_says(seed: int) -> None:
    made = render_drive(draw_options(seed, ego="sloppy"), 40, camera=CAMERA)
    for t, pose in enumerate(made.poses):
        seen = window(made.road, pose)
        assert np.isfinite(seen).all()
        assert seen.shape[1] == POINTS
        left, right = (across_of(edge) for edge in seen)
        width_m, lane = made.columns["lane_width_m"][t], made.columns["lane"][t]
        assert left - right == pytest.approx(round((left - right) / width_m) * width_m, abs=0.02)  # whole lanes
        # From the middle of a lane, its own edge is half a lane away.
        assert left == pytest.approx((lane + 0.5) * width_m - made.columns["lane_offset_m"][t], abs=0.03)


def across_of(edge: np.ndarray) -> float:
    """How far to the left of the ego an edge passes by, square to it: that of the parabola through the points near."""
    near = edge[np.argsort(np.hypot(*edge.T))[:3]].astype(np.float64)
    x = np.polynomial.Polynomial.fit(near[:, 0], near[:, 1], 2)
    slope = x.deriv()(0.0)
    return float(x(0.0) / np.hypot(1, slope))


def test_a_scenario_begins_with_the_road_for_minutes() -> None:
    context = ReferenceContext(draw_options(3, ego="good", events=()), 1.0)
    scenario = ScenarioFile("one", context, 0.8, 5.0, Tags.unknown())
    begun = begin_reference(scenario, CAMERA, dt_s=0.1, policy=OracleKeeper())
    clip = begun.clip().validate()
    assert clip.road is not None
    assert len(clip.road) == len(clip.frames)
    assert np.linalg.norm(np.diff(clip.road[-1, 0], axis=0), axis=-1).sum() > 4500
    truth = begun.world.info()
    left = across_of(clip.road[-1, 0])
    lane, width_m = truth["lane"][0], truth["lane_width_m"][0]
    assert left == pytest.approx((lane + 0.5) * width_m - truth["lane_offset_m"][0], abs=0.05)
