# SPDX-License-Identifier: Apache-2.0
"""Requests to services that may not know yet whom to answer. Loads no rclpy."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rclpy.client import Client

_AGAIN_S = 3.0


def response_to(client: Client, request: Any, *, repeats: bool = True) -> Callable[[], Any]:
    """Send a request; return what tells its response, None while there is none.

    The response to a client that the server has not discovered yet is lost. A request that
    changes nothing is sent again, then, as long as its response is asked for.

    Parameters
    ----------
    client
        Of a service that is ready.
    request
        Of its type.
    repeats
        False for a request that changes something.
    """
    futures = [client.call_async(request)]
    sent_s = time.monotonic()

    def response() -> Any:
        nonlocal sent_s
        found = next((future.result() for future in futures if future.done()), None)
        if found is None and repeats and time.monotonic() - sent_s > _AGAIN_S:
            sent_s = time.monotonic()
            futures.append(client.call_async(request))
        return found

    return response
