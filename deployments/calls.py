"""Calls between replicas: a dead one is asked again, and faults come back as themselves."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TypeVar

from ray.exceptions import RayActorError
from ray.serve.exceptions import BackPressureError, DeploymentUnavailableError
from ray.serve.handle import DeploymentResponse, DeploymentResponseGenerator

from app.analyzer import DeadlineExceeded, Overloaded, ReplicaLost, Unavailable

log = logging.getLogger(__name__)

GRACE_S = 5  # the callee answers for its own deadline; past this it hangs
T = TypeVar("T")
Response = DeploymentResponse[Any] | DeploymentResponseGenerator[Any]  # what .remote() returns


async def ask(call: Callable[[], Awaitable[T]], callee: str, timeout_s: float) -> T:
    """The callee's answer. If its replica dies the question, safe to repeat, is put once more.

    Raises what the callee raised, as itself: Ray's wrapper would show a remote traceback.
    """
    latest = asyncio.get_running_loop().time() + timeout_s + GRACE_S  # of both tries together
    for last_try in (False, True):
        try:
            async with asyncio.timeout_at(latest):
                return await call()
        except DeploymentUnavailableError:
            raise Unavailable(f"{callee} is not running.") from None
        except RayActorError as error:
            log.warning("%s lost a replica (%s)", callee, type(error).__name__)
            if last_try:
                raise ReplicaLost(f"{callee} ended twice while it had this take.") from None
        except TimeoutError:
            raise DeadlineExceeded(f"{callee} gave no answer in time.") from None
        except BackPressureError:
            raise Overloaded(retry_after_s=1.0) from None
        except Exception as error:
            cause = getattr(error, "cause", None)
            raise (cause if isinstance(cause, Exception) else error) from None
    raise AssertionError("unreachable: the second try returns or raises")


async def answer(response: Response) -> Any:  # noqa: ANN401  # what the callee gives
    """The response; who stops waiting takes the question back, or the callee works for nobody."""
    assert isinstance(response, DeploymentResponse)
    try:
        return await response
    except asyncio.CancelledError:
        response.cancel()
        raise


async def stream(steps: Response) -> AsyncIterator[Any]:
    """The steps of a generator method in another replica, taken back like an answer."""
    assert isinstance(steps, DeploymentResponseGenerator)
    try:
        async for step in steps:
            yield step
    finally:
        steps.cancel()
