"""The page in a real browser: it starts, drives, turns left on the left key, branches, saves."""

import pytest

from benchmarks.browser import Browser, find
from worldmodel.simulation.drive_io import load_drive

pytest.importorskip("uvicorn")
pytest.importorskip("websockets")
pytestmark = [
    pytest.mark.skipif(find() is None, reason="no chromium on the path (apt-get install chromium)"),
    pytest.mark.slow,
]

NOW = "worldmodel.figures()"


@pytest.fixture
def browser():
    with Browser() as opened:
        yield opened
        assert not opened.console, opened.console


def test_it_starts_drives_turns_left_branches_and_saves(serve, browser):
    with serve(rate=10.0) as (address, house):
        browser.open(f"http://{address}/")
        browser.wait(f"{NOW}.state && {NOW}.state.waiting && {NOW}.shown > 0")
        assert "steer or press" in browser.js("document.getElementById('veil').textContent")

        browser.key("ArrowUp", down=True)
        browser.wait(f"{NOW}.about.t > 0.5")
        faster = browser.js(f"{NOW}.about.v")
        browser.key("ArrowUp", down=False)
        browser.key("ArrowLeft", down=True)
        browser.wait(f"{NOW}.about.k > 0.005")
        browser.key("ArrowLeft", down=False)
        assert faster > 12.0
        place = house._guests[0].place
        assert max(float(row.motion.yaw_rate_radps) for row in place.trace) > 0.05

        browser.tap("KeyP")
        browser.wait(f"{NOW}.state.paused")
        browser.click("#snapshot")
        browser.wait("!!document.querySelector('#kept [data-number=\"1\"] img')")
        kept_s = browser.js(f"{NOW}.state.snapshots[0].t")
        browser.tap("KeyP")
        browser.key("ArrowRight", down=True)
        browser.wait(f"{NOW}.about.k < -0.005")
        browser.key("ArrowRight", down=False)
        browser.click("#kept [data-number='1']")
        browser.wait(f"{NOW}.state.answers === 'branch' && {NOW}.state.t === {kept_s} && {NOW}.state.waiting")
        assert browser.js(f"{NOW}.state.snapshots.length") == 2

        browser.click("[data-name='snow']")
        browser.wait(f"{NOW}.state.tags.weather === 'snow'")
        browser.js("document.getElementById('prompt').value = 'night, with unicorns'")
        browser.click("#ask button")
        browser.wait("document.getElementById('notes').textContent.includes('not known: unicorns')")
        browser.wait(f"{NOW}.state.tags.time_of_day === 'night'")

        browser.click("[data-driver='random']")
        browser.wait(f"{NOW}.state.driver === 'random' && {NOW}.about.t > {kept_s} + 1")
        browser.tap("KeyR")
        browser.wait(f"{NOW}.state.answers === 'rewind' && {NOW}.state.t < {kept_s} + 1")
        browser.key("ArrowUp", down=True)
        browser.wait(f"{NOW}.about.t > {NOW}.state.t + 0.5")
        browser.key("ArrowUp", down=False)
        browser.tap("KeyP")
        browser.wait(f"{NOW}.state.paused")
        browser.click("#save")
        link = browser.wait("document.getElementById('saved') && document.getElementById('saved').href")
        assert link.endswith("/saved/drive")
        saved = house._keeper.folder("drive")
        assert len(load_drive(saved)) == place.step + 1
        size = browser.js(f"fetch({link!r}).then(r => r.blob()).then(b => b.size)")
        assert size == (saved / "drive.mp4").stat().st_size


def test_the_picture_is_the_worlds_and_the_way_ahead_is_drawn_on_it(serve, browser):
    """What the canvas shows without anything drawn on it is the frame; switched on, the way ahead is green."""
    green = """(() => { const c = document.getElementById('view'), p = c.getContext('2d');
        const d = p.getImageData(0, 0, c.width, c.height).data; let n = 0;
        for (let i = 0; i < d.length; i += 4) if (d[i + 1] > d[i] + 30 && d[i + 1] > d[i + 2] + 30) n++;
        return n; })()"""
    with serve() as (address, _):
        browser.open(f"http://{address}/")
        browser.wait(f"{NOW}.shown > 0 && {NOW}.state")
        with_way = browser.js(green)
        browser.click("#path")
        assert browser.js(green) < with_way - 1000


def test_a_full_house_is_said_and_a_place_that_comes_free_is_taken(serve, browser, client):
    with serve(seats=1) as (address, _):
        with client(address):
            browser.open(f"http://{address}/")
            browser.wait("document.getElementById('veil').textContent.includes('full house')")
        browser.wait(f"{NOW}.state && {NOW}.shown > 0", seconds=40)


def test_two_thumbs_drive(serve, browser):
    with serve() as (address, _):
        browser.call("Emulation.setTouchEmulationEnabled", enabled=True)
        browser.open(f"http://{address}/")
        browser.wait(f"{NOW}.state && {NOW}.shown > 0")
        left, right = {"x": 300, "y": 300, "id": 1}, {"x": 700, "y": 300, "id": 2}
        browser.call("Input.dispatchTouchEvent", type="touchStart", touchPoints=[left, right])
        moved = [left | {"x": 220}, right | {"y": 220}]
        browser.call("Input.dispatchTouchEvent", type="touchMove", touchPoints=moved)
        browser.wait(f"{NOW}.about.k > 0.005 && {NOW}.about.v > 12.2")
        browser.call("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])
        browser.wait(f"Math.abs({NOW}.about.k) < 0.004")
