"""Work that is handed out comes back, and what went wrong with it is raised where it is asked for."""

import math
import os
import time

import pytest

from worldmodel.evaluation.hands import Hands


@pytest.mark.slow
def test_work_is_done_elsewhere():
    with Hands(2) as hands:
        jobs = [hands.submit(math.factorial, n) for n in range(6)]
        assert [job.result() for job in jobs] == [1, 1, 2, 6, 24, 120]
        assert hands.submit(os.getpid).result() != os.getpid()
        with pytest.raises(ValueError, match="negative"):
            hands.submit(math.factorial, -1).result()


@pytest.mark.slow
def test_who_interrupts_does_not_wait():
    began = time.monotonic()

    def interrupted():
        with Hands(2) as hands:
            hands.submit(time.sleep, 300)
            assert hands.submit(math.factorial, 3).result() == 6
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert time.monotonic() - began < 200


def test_one_process_does_it_at_once_and_here():
    with Hands(1) as hands:
        job = hands.submit(os.getpid)
        assert job.done()
        assert job.result() == os.getpid()
        with pytest.raises(ValueError, match="negative"):
            hands.submit(math.factorial, -1)
