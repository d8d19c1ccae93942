"""Waiting for a fact, with a deadline: the only place in the tests that polls."""

import os
import time

# Instrumented builds are slow: every deadline is stretched by this.
STRETCH = float(os.environ.get("SLUICE_STRETCH", "1"))


def wait_for(condition, what, timeout=10):
    """Returns what condition() returns as soon as that is true."""
    end = time.monotonic() + timeout * STRETCH
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"waited {timeout} s in vain for: {what}")
        time.sleep(0.005)
