"""Explainers that do what plugins must not do, for runs with real processes."""

import ctypes
import os
import signal
import sys
import time
from pathlib import Path

import numpy as np
import torch

from xaibench.contracts import ExplainerCard, MetricCard

HELD = []  # what leaks


def exit_hard():
    os._exit(9)


def segfault():
    ctypes.string_at(0)


def killed():
    os.kill(os.getpid(), signal.SIGKILL)


def hang():
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    time.sleep(600)


def fork():
    os.fork()


def leave_a_child():
    if os.fork() == 0:
        time.sleep(600)
        os._exit(0)


def garbage():
    print("garbage by print")
    sys.__stdout__.write("garbage below print\n")
    os.write(1, b"garbage below Python\n")


def settings():
    torch.set_num_threads(3)
    torch.set_default_dtype(torch.float64)
    torch.use_deterministic_algorithms(True)
    torch.set_grad_enabled(False)
    os.chdir("/")


def leak():
    while len(HELD) < 100:
        HELD.append(np.ones(2**23))  # 64 MiB, touched
        time.sleep(0.05)


def leave():
    sys.exit(3)


def nothing():
    pass


DEEDS = (exit_hard, segfault, killed, hang, fork, leave_a_child, garbage, settings, leak, leave, nothing)
HOWS = {deed.__name__.replace("_", "-"): deed for deed in DEEDS}


class Faulty:
    """The brightness, after a misdeed; `trace` gets the number of the process."""

    card = ExplainerCard(name="faulty", summary="does what it is told", family="reference")

    def __init__(self, how: str = "nothing", trace: str = "", seconds: float = 0.0, device: str = "cpu"):
        self.how, self.trace, self.seconds, self.device = how, trace, seconds, device

    def explain(self, classifier, batch):
        if self.trace:
            with Path(self.trace).open("a") as file:
                file.write(
                    f"{os.getpid()} {self.how} {torch.get_num_threads()} {torch.get_default_dtype()} {Path.cwd()}\n"
                )
        time.sleep(self.seconds)
        HOWS[self.how]()
        return batch.images[:, 0].to(self.device, torch.float32)


class Nothing:
    """A metric that costs nothing."""

    def __init__(self, number: int = 0):
        self.card = MetricCard(
            name=f"nothing-{number}", summary="", family="complexity", higher_is_better=True, claims_quality=False
        )

    def score(self, case):
        return [0.0] * len(case.maps)
