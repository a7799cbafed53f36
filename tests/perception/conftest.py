"""A few frames of the reference world on clear days, rendered once."""

import pytest

from worldmodel.geometry.camera import canonical_camera
from worldmodel.reference.drive import render_drive
from worldmodel.reference.options import DriveOptions

WEAVING = DriveOptions(seed=4, traffic="none", ego="weaving")


@pytest.fixture(scope="session")
def weaving_128():
    return render_drive(WEAVING, 12)


@pytest.fixture(scope="session")
def weaving_64():
    return render_drive(WEAVING, 12, camera=canonical_camera(64, 128, height_m=1.4))
