"""Calls that must answer in time, whatever the network does."""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as StillWaiting
from typing import TypeVar

T = TypeVar("T")


def started(call: Callable[[], T]) -> "Future[T]":
    """The call, running in a daemon thread: it never keeps a process from ending."""
    future: Future[T] = Future()

    def run() -> None:
        try:
            future.set_result(call())
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=run, daemon=True, name="models.deadline").start()
    return future


def within(seconds: float, call: Callable[[], T]) -> T:
    """What the call returns or raises, or TimeoutError. A late call is left to end by itself.

    Socket timeouts alone do not bound a name lookup, nor a server that answers drop by drop.
    """
    try:
        return started(call).result(seconds)
    except StillWaiting as error:
        raise TimeoutError(f"No answer within {seconds:g} s.") from error
