"""Delivers the outbox by e-mail and webhook, again and again until everything has arrived."""

import contextlib
import dataclasses
import datetime as dt
import email.message
import email.utils
import hashlib
import http.client
import json
import logging
import smtplib
import ssl
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import sqlalchemy as sa

from scanmill.alerts import Message
from scanmill.errors import FatalError
from scanmill.ledger import outbox
from scanmill.settings import Settings
from scanmill.steps import Mill

log = logging.getLogger(__name__)

_TIMEOUT_SECONDS = 10

_CHANNEL_ERRORS = (
    OSError,
    ValueError,
    FatalError,
    smtplib.SMTPException,
    http.client.HTTPException,
)
"""What a channel that is away, or was set wrongly, raises: it must not silence the others."""

_AWAY = (TimeoutError, ConnectionError, smtplib.SMTPConnectError, smtplib.SMTPServerDisconnected)
"""What says that a channel is away, whatever it is given."""


def deliver(mill: Mill) -> int:
    """Send every alert that has not arrived and return how many have now, by all channels.

    A channel that is away keeps its alerts in the outbox, with the error; the others go on and
    never repeat what they have sent.
    """
    with mill.ledger.reading() as connection:
        waiting = outbox.undelivered(connection)
    away: dict[str, str] = {}
    return sum(_deliver(mill, message, away) for message in waiting)


def send_at_once(settings: Settings, message: Message) -> bool:
    """Send a message that the outbox cannot take, and tell whether any channel took it."""
    row = dataclasses.asdict(message) | {"created_at": dt.datetime.now(dt.UTC)}
    taken = False
    for name, send in _channels(settings).items():
        try:
            send(settings, row)
        except _CHANNEL_ERRORS as error:
            log.warning("alert=%s did not go by %s: %s", message.kind, name, type(error))
        else:
            taken = True
    return taken


def channel_names(settings: Settings) -> list[str]:
    """Return the channels that are set."""
    return list(_channels(settings))


def _deliver(mill: Mill, message: sa.RowMapping, away: dict[str, str]) -> bool:
    """Send one message; `away` are the channels that need not be tried again in this round."""
    channels = _channels(mill.settings)
    sent = set(message["sent_by"].split())
    errors = [] if channels else ["no channel is set: see AIRFLOW_CONN_SMTP_DEFAULT"]
    for name, send in channels.items():
        if name in sent:
            continue
        if name in away:
            errors.append(away[name])
            continue
        try:
            send(mill.settings, dict(message))
        except _CHANNEL_ERRORS as error:
            log.warning("alert=%s did not go by %s: %s", message["kind"], name, type(error))
            # A malformed address quotes itself, and a webhook's address is a secret.
            is_secret = isinstance(error, ValueError) and not isinstance(error, OSError)
            errors.append(
                f"{name}: " + ("its address cannot be used" if is_secret else repr(error))
            )
            # Ten messages that each wait for a dead server would hold up all the others.
            if isinstance(error, _AWAY) or isinstance(getattr(error, "reason", None), OSError):
                away[name] = errors[-1]
        else:
            sent.add(name)
            with mill.ledger.writing() as connection:
                outbox.note_sent(connection, message["key"], sent)
    with mill.ledger.writing() as connection:
        if errors:
            outbox.note_failed(connection, message["key"], "; ".join(errors))
        else:
            outbox.note_delivered(connection, message["key"])
    return not errors


def _channels(settings: Settings) -> dict[str, Callable[[Settings, Mapping[str, Any]], None]]:
    channels: dict[str, Callable[[Settings, Mapping[str, Any]], None]] = {}
    if settings.smtp_connection:
        channels["mail"] = _send_mail
    if settings.alert_webhook.get_secret_value():
        channels["webhook"] = _send_webhook
    return channels


def _send_mail(settings: Settings, message: Mapping[str, Any]) -> None:
    mail = email.message.EmailMessage()
    mail["Subject"] = message["subject"]
    mail["From"] = settings.alert_from
    mail["To"] = settings.alert_to
    mail["Date"] = email.utils.format_datetime(message["created_at"])
    # The same message that is sent twice has one id, by which mail programs show it once.
    mail["Message-ID"] = f"<{hashlib.sha256(message['key'].encode()).hexdigest()}@scanmill>"
    mail.set_content(message["text"])
    with mail_server(settings) as smtp:
        smtp.send_message(mail)


@contextlib.contextmanager
def mail_server(settings: Settings) -> Iterator[smtplib.SMTP]:
    """Be connected to the mail server: encrypted and logged in as Airflow's connection says.

    Raises:
        FatalError: the connection cannot be understood.
        OSError: the server is away, or its certificate is not to be trusted.
        smtplib.SMTPException: the server refuses.
    """
    connection = _smtp_connection(settings)
    extra = connection["extra"]
    host, port = connection["host"], connection.get("port")
    # smtplib's own trusts everybody: that has to be asked for, as with Airflow.
    is_trusting = extra.get("ssl_context") == "none"
    trusted = None if is_trusting else ssl.create_default_context()
    with contextlib.ExitStack() as stack:
        if extra.get("disable_ssl"):
            smtp = stack.enter_context(smtplib.SMTP(host, port or 25, timeout=_TIMEOUT_SECONDS))
            if not extra.get("disable_tls"):
                smtp.starttls(context=trusted)
        else:
            smtp = stack.enter_context(
                smtplib.SMTP_SSL(host, port or 465, timeout=_TIMEOUT_SECONDS, context=trusted)
            )
        if connection.get("login"):
            _log_in(smtp, connection["login"], connection.get("password") or "")
        yield smtp


def _log_in(smtp: smtplib.SMTP, login: str, password: str) -> None:
    try:
        smtp.login(login, password)
    except UnicodeEncodeError:  # which would show the password
        raise FatalError("The login of smtp_default has letters that SMTP cannot send.") from None


def _smtp_connection(settings: Settings) -> dict[str, Any]:
    try:
        connection = json.loads(settings.smtp_connection)
        extra = connection.get("extra") or {}
        extra = json.loads(extra) if isinstance(extra, str) else extra
        is_understood = isinstance(connection["host"], str) and isinstance(extra, dict)
    except (ValueError, AttributeError, KeyError):
        is_understood = False
    if not is_understood:
        raise FatalError(
            "AIRFLOW_CONN_SMTP_DEFAULT is no connection in JSON. Write it as "
            '{"conn_type": "smtp", "host": "...", "port": 25, "extra": {}}.'
        )
    return dict(connection) | {"extra": extra}


def _send_webhook(settings: Settings, message: Mapping[str, Any]) -> None:
    content = {name: message[name] for name in ("key", "kind", "subject", "text")}
    request = urllib.request.Request(  # noqa: S310 - the address is an operator's setting
        settings.alert_webhook.get_secret_value(),
        data=json.dumps(content).encode(),
        headers={"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=_TIMEOUT_SECONDS):  # noqa: S310
        pass
