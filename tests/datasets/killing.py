"""Run something in a child process and kill it at random moments, again and again, looking at what is left each time.

Imported by small programs of their own, before any thread is started, because they fork.
"""

import os
import random
import signal
import sys
import time
import traceback


def forked(work):
    """Start ``work`` in a child of its own process group; returns its id."""
    child = os.fork()
    if child == 0:
        os.setpgid(0, 0)
        try:
            work()
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    return child


def torment(work, check, *, times, longest_s):
    """Kill ``work`` ``times`` times and let it end once; ``check`` must hold after each. Exits with 1 if not."""
    for _ in range(times):
        child = forked(work)
        time.sleep(random.uniform(0.0, longest_s))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        if os.waitpid(forked(check), 0)[1]:
            sys.exit(1)
    for last in (work, check):
        if os.waitpid(forked(last), 0)[1]:
            sys.exit(1)
