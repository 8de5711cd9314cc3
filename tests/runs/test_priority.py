"""Training waits for pages, not the other way round."""

import os
import sys
import threading

import pytest

from lab.runs import queue


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has priorities of threads")
def test_a_training_thread_steps_back_and_nobody_else() -> None:
    found: list[int] = []

    def work() -> None:
        queue._step_back()
        found.append(os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))

    before = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [max(before, queue.NICENESS)]
    assert os.getpriority(os.PRIO_PROCESS, threading.get_native_id()) == before
