"""The one small object by which a page, a queue or Ctrl-C speaks to a run."""

from __future__ import annotations

from typing import Literal

Wanted = Literal["run", "stop", "pause", "finish"]


class Control:
    """A wish, read by the training thread between two steps.

    Any thread may write it and the last wish counts; a single attribute needs no lock. `stop` and
    `pause` end the run within one step and leave the test set untouched, so that it can be resumed;
    `finish` ends the training and goes on to the test set.
    """

    def __init__(self) -> None:
        self._wanted: Wanted = "run"
        self._rate: float | None = None

    @property
    def wanted(self) -> Wanted:
        return self._wanted

    def request_stop(self) -> None:
        self._wanted = "stop"

    def request_pause(self) -> None:
        self._wanted = "pause"

    def request_finish(self) -> None:
        self._wanted = "finish"

    def request(self, wanted: Wanted) -> None:
        """Ask for what another `Control` was asked for."""
        self._wanted = wanted

    def request_rate(self, rate: float) -> None:
        """Ask for another learning rate, from the next step on."""
        self._rate = rate

    def take_rate(self) -> float | None:
        """Returns the learning rate that was asked for since the last call, if any."""
        rate, self._rate = self._rate, None
        return rate
