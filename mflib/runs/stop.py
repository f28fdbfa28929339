"""Ctrl-C, carried out where it does no harm."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Stop:
    """A context in which a signal raises nothing: it is noted, and ends what runs at that moment.

    An exception out of a signal handler could strike between creating a run and noting its id, or in the
    middle of writing its artifacts. Here the kernel is killed instead, and the run is then completed with
    the status KILLED.

    Parameters
    ----------
    signals : tuple of signal.Signals
        Ctrl-C, and the polite request to terminate, by default.
    words : str
        Why a run was ended, for its error.

    Attributes
    ----------
    asked : bool
        Whether a signal has come.
    """

    def __init__(self, signals=(signal.SIGINT, signal.SIGTERM), words="stopped by Ctrl-C or SIGTERM"):
        self.asked, self.words = False, words
        self._end: Callable[[], None] | None = None
        self._handlers = dict.fromkeys(signals, self.ask)

    def __enter__(self) -> "Stop":
        self._before = {number: signal.signal(number, do) for number, do in self._handlers.items()}
        return self

    def __exit__(self, *error) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def ask(self, *signal) -> None:
        """Note that all is to end, and end what runs: called by a signal, or as it would."""
        self.asked = True
        if end := self._end:  # read once: another thread may take it back
            end()

    @contextmanager
    def by(self, end: Callable[[], None]) -> Iterator[None]:
        """Within, a signal calls `end`; one that came before calls it at once."""
        self._end = end
        try:
            if self.asked:
                end()
            yield
        finally:
            self._end = None


def interrupt() -> None:
    """What Ctrl-C does elsewhere, for `Stop.by`: should the exception be lost, `asked` remains."""
    raise KeyboardInterrupt
