"""The mail of the local stack, over a real SMTP conversation."""

import email.message
import json
import os
import smtplib
import stat
import subprocess
import sys
import types

import pytest

from scanmill.local import inbox, ports
from waiting import is_soon


@pytest.fixture
def mail_server(some_home):
    port = ports.choose(["mail"], {})["mail"]
    process = subprocess.Popen(
        [sys.executable, "-m", "scanmill.local.mail"],
        env={
            **os.environ,
            "SCANMILL_HOME": str(some_home.root),
            "AIRFLOW_CONN_SMTP_DEFAULT": json.dumps({"port": port}),
        },
    )
    try:
        assert is_soon(lambda: ports.is_listening(port))
        yield types.SimpleNamespace(port=port, folder=some_home.mail)
    finally:
        process.terminate()
        ended = process.wait(timeout=10)
    assert ended == 0


def send(port, subject, text, *, html=None):
    message = email.message.EmailMessage()
    message["From"], message["To"], message["Subject"] = "mill@localhost", "you@localhost", subject
    message.set_content(text)
    if html:
        message.add_alternative(html, subtype="html")
    with smtplib.SMTP("127.0.0.1", port, local_hostname="localhost") as client:
        client.send_message(message)


def test_what_is_sent_can_be_read_newest_first(mail_server):
    send(mail_server.port, "first", "one\n")
    send(mail_server.port, "second: été {{ 7*7 }}", "two é\n", html="<script>alert(1)</script>")
    second, first = inbox.messages(mail_server.folder)

    assert (first.subject, first.text, first.to) == ("first", "one\n", "you@localhost")
    assert (second.subject, second.text) == ("second: été {{ 7*7 }}", "two é\n")
    assert inbox.message(mail_server.folder, first.id) == first
    assert stat.S_IMODE(mail_server.folder.stat().st_mode) == 0o700


def test_an_id_is_never_a_path(mail_server):
    send(mail_server.port, "first", "one\n")

    assert inbox.message(mail_server.folder, "../../secrets.json") is None


def test_no_maildir_yet_is_an_empty_inbox(tmp_path):
    assert inbox.messages(tmp_path / "none") == []
