"""Waiting for a fact, with a deadline: the only place in the tests that polls."""

import os
import threading
import time

STRETCH = float(os.environ.get("SLUICE_STRETCH", "1"))      # instrumented builds are slow


def stretched(seconds):
    """A deadline as this build and a machine as busy as this one need it. Only a test that fails waits for it."""
    return seconds * STRETCH * max(1, os.getloadavg()[0] / os.cpu_count())


def wait_for(condition, what, timeout=10):
    """Returns what condition() returns as soon as that is true."""
    end = time.monotonic() + stretched(timeout)
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"waited {timeout} s in vain for: {what}")
        time.sleep(0.005)


class Event(threading.Event):
    """What one thread of a test tells another."""

    def wait(self, timeout=10):
        return super().wait(stretched(timeout))
