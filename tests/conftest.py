"""What holds for all tests."""

from __future__ import annotations

import atexit
import os
import shutil
import signal
import tempfile

from hypothesis import HealthCheck, settings

# No test reads or writes the store of whoever runs it.
os.environ["GRADERS_HOME"] = tempfile.mkdtemp(prefix="graders-tests-")
atexit.register(shutil.rmtree, os.environ["GRADERS_HOME"], ignore_errors=True)

# A shell without job control starts its background jobs with Ctrl-C ignored, which programs inherit and go on ignoring.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# An example that takes long, to make or to test, says that the machine is busy, and not that something is wrong.
BUSY = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
# Each run has the same examples, so that none fails by chance; `pytest --hypothesis-profile explore` draws new ones.
settings.register_profile("same", BUSY, derandomize=True)
settings.register_profile("explore", BUSY)
settings.load_profile("same")
