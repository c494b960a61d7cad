"""Kill points: named places where a test lets this process end, or freeze, as a power cut or a long pause would."""

from __future__ import annotations

import os
import signal

_NAME, _, _PASS = os.environ.get("FAULT_POINT", "").partition(":")
_ABOUT = os.environ.get("FAULT_ABOUT", "")
_SIGNAL = signal.Signals[os.environ.get("FAULT_SIGNAL", "SIGKILL")]
_left = int(_PASS or 1)


def point(name: str, about: object = "") -> None:
    """Does nothing, unless ``FAULT_POINT=name[:n]`` is set: then the n-th pass sends FAULT_SIGNAL to this process.

    ``FAULT_ABOUT`` counts only passes about that one thing. FAULT_SIGNAL is SIGKILL unless set; SIGSTOP makes a zombie.
    """
    global _left
    if name == _NAME and _ABOUT in ("", str(about)):
        _left -= 1
        if _left == 0:
            os.kill(os.getpid(), _SIGNAL)
