"""Dies as an extension module with a bad pointer does."""

import os
import signal

os.kill(os.getpid(), signal.SIGSEGV)
