"""FID, FVD and LPIPS come from the user's files alone, called as published; stand-ins have their signatures."""

import dataclasses

import numpy as np
import pytest

from tests.evaluation import standins
from tests.evaluation.test_scores import PERFECT
from worldmodel.evaluation.pairs import AT_S
from worldmodel.evaluation.published import CLIP, Published, published_scores

T_S = np.arange(48) * 0.1


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    folder = tmp_path_factory.mktemp("weights")
    return Published(**{name: str(standins.save(name, folder)) for name in ("fid", "fvd", "lpips")})


def drives(seed, *, brighter=0):
    rng = np.random.default_rng(seed)
    return rng.integers(0, 200, (48, 32, 64, 3), dtype=np.uint8) // 2 + np.uint8(brighter)


def scored(published, brighter):
    pairs = []
    for i, pair in enumerate(PERFECT[:4]):
        kept = published.features(T_S, drives(i, brighter=brighter), drives(i))
        pairs.append(dataclasses.replace(pair, kept=kept))
    return published_scores(pairs, published.hashes())


def test_equal_video_has_no_distance_and_other_video_has(published):
    same, other = scored(published, 0), scored(published, 60)
    for name in ("fid", "fvd", "lpips"):
        assert same[name]["value"] == pytest.approx(0, abs=1e-6)
        assert other[name]["value"] > 10 * abs(same[name]["value"])
        assert len(same[name]["network"]) == 64
        assert same[name]["protocol"]
    assert same["fid"]["n"] == 4 * 48
    assert same["fvd"]["n"] == 4 * (48 // CLIP)
    assert list(same["lpips"]["at"]) == ["0.1", "0.5", "1", "2"]
    assert other["fid"]["value"] > other["fid"]["floor"]


def test_lpips_is_asked_at_the_times_of_the_other_likenesses(published):
    one = drives(0)
    changed = one.copy()
    changed[10] = 255 - changed[10]
    lpips = published.features(T_S, changed, one)["lpips"]
    assert lpips.shape == (len(AT_S),)
    assert lpips[:4].argmax() == 2  # 1 s
    assert (lpips[[0, 1, 3]] == 0).all()
    assert np.isnan(lpips[4:]).all()


def test_nothing_goes_by_these_names_without_the_files():
    assert Published().features(T_S, drives(0), drives(1)) == {}
    assert published_scores(PERFECT, Published().hashes()) == {}


def test_a_file_that_is_no_such_network_is_refused(published, tmp_path):
    with pytest.raises(ValueError, match=r"fid_weights=none\.pt: no such file"):
        Published(fid="none.pt")
    torn = tmp_path / "torn.pt"
    torn.write_bytes(b"no network")
    with pytest.raises(ValueError, match="not a TorchScript file"):
        Published(fid=str(torn)).features(T_S, drives(0), drives(1))
    with pytest.raises(ValueError, match="not the published network"):
        Published(fvd=published.fid).features(T_S, drives(0), drives(1))
