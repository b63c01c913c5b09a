"""A mail server that keeps every message and passes none on: `python -m scanmill.local.mail`."""

import asyncio
import email
import email.policy
import json
import mailbox
import os
import signal
from pathlib import Path

from aiosmtpd.smtp import SMTP, Envelope, Session

from scanmill.local import home as homes
from scanmill.local.ports import LOOPBACK

MOST_BYTES = 20_000_000


class Keep:
    """Stores what arrives in a Maildir."""

    def __init__(self, folder: Path) -> None:
        self._maildir = mailbox.Maildir(folder, create=True)

    async def handle_DATA(  # noqa: N802 - the name that aiosmtpd calls
        self, _server: SMTP, _session: Session, envelope: Envelope
    ) -> str:
        """Keep one message, its receivers noted, before it is acknowledged."""
        message = email.message_from_bytes(bytes(envelope.content or b""))
        message["X-Envelope-To"] = ", ".join(envelope.rcpt_tos)
        self._maildir.add(message)
        return "250 Kept"


async def serve(folder: Path, port: int) -> None:
    """Serve until told to stop."""
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    handler = Keep(folder)
    server = await loop.create_server(
        lambda: SMTP(
            handler, hostname="localhost", enable_SMTPUTF8=True, data_size_limit=MOST_BYTES
        ),
        host=LOOPBACK,
        port=port,
    )
    async with server:
        await stop.wait()


def main() -> None:
    """Serve where the stack's own connection says."""
    os.umask(0o077)
    connection = json.loads(os.environ["AIRFLOW_CONN_SMTP_DEFAULT"])
    asyncio.run(serve(homes.locate().mail, int(connection["port"])))


if __name__ == "__main__":
    main()
