"""What holds for all tests."""

from __future__ import annotations

import atexit
import os
import shutil
import signal
import tempfile

from hypothesis import settings

# No test reads or writes the store of whoever runs it.
os.environ["GRADERS_HOME"] = tempfile.mkdtemp(prefix="graders-tests-")
atexit.register(shutil.rmtree, os.environ["GRADERS_HOME"], ignore_errors=True)

# A shell without job control starts its background jobs with Ctrl-C ignored, which programs inherit and go on ignoring.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# An example that takes long says that the machine is busy, not that something is wrong.
settings.register_profile("busy", deadline=None)
settings.load_profile("busy")
