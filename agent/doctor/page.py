"""The console: does its page answer."""

from __future__ import annotations

import http.client
from typing import Final

from agent.console.server import is_loopback
from agent.doctor.journal import page
from agent.doctor.verdict import Box, Verdict, well, wrong

ANSWER_S: Final = 5.0
"""How long the page may take to answer [s]."""


def console(box: Box) -> Verdict:
    """Check that the console's page is served, and that it can read the store."""
    host, port = box.config.console.host, box.config.console.port
    if not is_loopback(host):
        return wrong(f"console.host {host} is not this computer's own", "set it to 127.0.0.1")
    connection = http.client.HTTPConnection(host, port, timeout=ANSWER_S)
    try:
        connection.request("GET", "/healthz")
        answer = connection.getresponse()
        live = answer.status == http.HTTPStatus.OK and answer.read() == b"ok\n"
    except (OSError, http.client.HTTPException) as error:
        start = "`systemctl start bleedwatch-console`, `journalctl -u bleedwatch-console -n 9`"
        return wrong(f"{page(box)} does not answer: {error}", start)
    finally:
        connection.close()
    if not live:
        return wrong(
            f"{page(box)} answers {answer.status} where `ok` should stand",
            f"`ss -ltnp sport = :{port}` names the program; set console.port to a free one",
        )
    return well(f"{page(box)} is served")
