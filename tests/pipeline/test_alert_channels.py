"""Alerts go by mail and webhook, each on its own, and the watchdog keeps them going."""

import asyncio
import contextlib
import dataclasses
import datetime as dt
import email
import http.server
import ipaddress
import json
import socket
import ssl
import threading
import time

import pytest
import sqlalchemy as sa
from aiosmtpd.smtp import SMTP, AuthResult
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from drivers import drop, rows_of, s3
from engines.faulty_s3 import answering
from engines.scripted import picture, prose
from scanmill import ledger as ledger_module
from scanmill.errors import RetryableError
from scanmill.ledger import outbox
from scanmill.ledger import tables as t
from scanmill.steps import delivering, planning
from scanmill.steps.auditing import audit
from scanmill.steps.delivering import deliver
from scanmill.steps.examining import examine
from scanmill.steps.healing import heal
from scanmill.steps.receipting import is_balanced, receipt
from scanmill.steps.relieving import MUTE_SECONDS, WATCHDOG, relieve
from scanmill.steps.watching import Pulse, Watchdog, watch

UNAVAILABLE, WELL = 503, 200


class PostOffice:
    """A mail server that keeps the subjects of what it gets."""

    def __init__(self):
        self.subjects = []
        self.ids = []
        self.port = 0

    async def handle_DATA(self, _server, _session, envelope):  # noqa: N802 - aiosmtpd calls it so
        mail = email.message_from_bytes(envelope.content)
        self.subjects.append(mail["Subject"])
        self.ids.append(mail["Message-ID"])
        return "250 Kept"


@pytest.fixture
def post_office():
    with an_office() as office:
        yield office


@contextlib.contextmanager
def an_office(*, wrapped_in=None, **how):
    """A post office on a port of its own; `wrapped_in` TLS from the first byte on."""
    office = PostOffice()
    loop = asyncio.new_event_loop()
    server = loop.run_until_complete(
        loop.create_server(
            lambda: SMTP(office, hostname="localhost", loop=loop, **how),
            host="127.0.0.1",
            port=0,
            ssl=wrapped_in,
        )
    )
    office.port = server.sockets[0].getsockname()[1]
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    yield office
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    server.close()
    loop.run_until_complete(server.wait_closed())
    loop.close()


@pytest.fixture
def hook():
    """A webhook that answers with its `status` and keeps the subjects of what it heard."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            content = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            self.server.heard.append(content["subject"])
            self.send_response(self.server.status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.status = WELL
    server.heard = []
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def dead_port():
    """A port that is taken, and at which nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


def smtp_at(port):
    extra = {"disable_ssl": True, "disable_tls": True}
    connection = {"conn_type": "smtp", "host": "127.0.0.1", "port": port, "extra": extra}
    return {"AIRFLOW_CONN_SMTP_DEFAULT": json.dumps(connection)}


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """A certificate that vouches for 127.0.0.1, signed by itself, and its key, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "post office")])
    now = dt.datetime.now(dt.UTC)
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    signed = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=2))
        .not_valid_after(now + dt.timedelta(days=2))
        .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("certificate") / "both.pem"
    secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path.write_bytes(secret + signed.public_bytes(Encoding.PEM))
    return path


@pytest.fixture(params=["TLS", "STARTTLS"])
def private_office(request, certificate):
    """A post office that is spoken to in private, after a login; and Airflow's connection to it."""
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate)
    how = {"tls_context": tls, "require_starttls": True, "auth_required": True}
    extra = {"disable_ssl": True}
    if request.param == "TLS":
        how = {"wrapped_in": tls, "auth_require_tls": False}
        extra = {}
    with an_office(**how, authenticator=knows_the_clerk) as office:
        connection = {"conn_type": "smtp", "host": "127.0.0.1", "port": office.port}
        connection |= {"login": "clerk", "password": "stamp", "extra": extra}
        yield office, connection


def knows_the_clerk(_server, _session, _envelope, _mechanism, given):
    is_known = (given.login, given.password) == (b"clerk", b"stamp")
    return AuthResult(success=is_known, handled=False)


def webhook_at(port):
    return {"alert_webhook": f"http://127.0.0.1:{port}/alerts"}


def post(mill, subject="A word"):
    with mill.ledger.writing() as connection:
        outbox.post(connection, key=subject, kind="test", subject=subject, text="text")


def test_mails_of_different_alerts_never_share_an_id(new_mill, post_office):
    mill = new_mill(**smtp_at(post_office.port))
    for number in (1, 2):
        post(mill, f"gate_failed:a_collection_with_a_long_name-00000{number}:pages_gate")

    deliver(mill)

    assert len(post_office.ids) == len(set(post_office.ids)) == 2


def deliver_often(mill, times=3):
    return [deliver(mill) for _ in range(times)]


def outbox_row(mill):
    (row,) = rows_of(mill, t.OUTBOX)
    return row


def told(mill):
    return [row["key"].split(":")[0] for row in rows_of(mill, t.OUTBOX)]


# --- a mail server that is spoken to in private ---------------------------------------------------


def mail_of(mill):
    return next(result for result in examine(mill) if result.name == "mail")


def test_a_mail_goes_in_private_after_a_login(new_mill, private_office, certificate, monkeypatch):
    office, connection = private_office
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    mill = new_mill(AIRFLOW_CONN_SMTP_DEFAULT=json.dumps(connection))
    post(mill)

    assert deliver(mill) == 1
    assert office.subjects == ["A word"]
    assert mail_of(mill).is_well


def test_no_mail_goes_to_a_server_that_nobody_vouches_for(new_mill, private_office):
    office, connection = private_office
    mill = new_mill(AIRFLOW_CONN_SMTP_DEFAULT=json.dumps(connection))
    post(mill)

    assert deliver(mill) == 0
    assert office.subjects == []
    assert "certificate verify failed" in outbox_row(mill)["error"]
    assert "certificate verify failed" in mail_of(mill).detail


def test_a_wrong_login_is_told_of_by_doctor(new_mill, private_office, certificate, monkeypatch):
    _, connection = private_office
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    wrong = json.dumps(connection | {"password": "forged"})
    found = mail_of(new_mill(AIRFLOW_CONN_SMTP_DEFAULT=wrong))

    assert not found.is_well
    assert "535" in found.detail


@pytest.mark.parametrize(
    "change", [{"extra": "{"}, {"extra": "[]"}, {"password": "käfer"}, {"host": 7}], ids=str
)
def test_a_connection_that_cannot_be_used_is_told_of_without_its_password(
    new_mill, private_office, certificate, monkeypatch, change
):
    _, connection = private_office
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    mill = new_mill(AIRFLOW_CONN_SMTP_DEFAULT=json.dumps(connection | change))
    post(mill)

    found = mail_of(mill)

    assert deliver(mill) == 0
    assert not found.is_well
    assert "smtp_default" in found.detail.lower()
    assert "käfer" not in found.detail + outbox_row(mill)["error"]


def test_a_server_is_trusted_blindly_when_the_connection_says_so(new_mill, private_office):
    office, connection = private_office
    connection["extra"]["ssl_context"] = "none"
    mill = new_mill(AIRFLOW_CONN_SMTP_DEFAULT=json.dumps(connection))
    post(mill)

    assert deliver(mill) == 1
    assert office.subjects == ["A word"]


# --- mail and webhook ----------------------------------------------------------------------------


def test_an_alert_goes_once_by_every_channel(new_mill, post_office, hook):
    mill = new_mill(**smtp_at(post_office.port), **webhook_at(hook.server_port))
    post(mill)

    assert deliver_often(mill) == [1, 0, 0]
    assert post_office.subjects == hook.heard == ["A word"]


def test_while_the_webhook_is_down_the_mail_goes_once_and_the_webhook_is_tried_again(
    new_mill, post_office, hook
):
    mill = new_mill(**smtp_at(post_office.port), **webhook_at(hook.server_port))
    post(mill)

    hook.status = UNAVAILABLE
    while_down = deliver_often(mill)
    tries = len(hook.heard)
    hook.status = WELL
    when_back = deliver_often(mill)

    assert post_office.subjects == ["A word"]
    assert (while_down, tries) == ([0, 0, 0], 3)
    assert (when_back, len(hook.heard)) == ([1, 0, 0], 4)


def test_while_the_mail_server_is_down_the_webhook_hears_once(
    new_mill, post_office, dead_port, hook
):
    broken = new_mill(**smtp_at(dead_port), **webhook_at(hook.server_port))
    post(broken)
    there = smtp_at(post_office.port)["AIRFLOW_CONN_SMTP_DEFAULT"]
    settings = broken.settings.model_copy(update={"smtp_connection": there})
    mended = dataclasses.replace(broken, settings=settings)

    while_down = deliver_often(broken)
    heard = list(hook.heard)
    error = outbox_row(broken)["error"]
    when_back = deliver_often(mended)

    assert heard == hook.heard == post_office.subjects == ["A word"]
    assert (while_down, when_back) == ([0, 0, 0], [1, 0, 0])
    assert "refused" in error


@pytest.mark.parametrize(
    "address",
    ["hooks.example/alerts", "http://[", "http://hooks.example:port/", "http://a b/", "nonsense:x"],
)
def test_a_malformed_webhook_address_is_noted_and_the_mail_goes(new_mill, post_office, address):
    mill = new_mill(alert_webhook=address, **smtp_at(post_office.port))
    post(mill)

    delivered = deliver_often(mill)

    assert delivered == [0, 0, 0]
    assert post_office.subjects == ["A word"]
    assert outbox_row(mill)["delivered_at"] is None
    assert outbox_row(mill)["error"]


@pytest.mark.parametrize(
    "connection", ["nonsense", "[]", '{"port": 25}', '{"host": 7, "port": 25}']
)
def test_a_malformed_mail_connection_is_noted_and_the_webhook_hears(new_mill, hook, connection):
    mill = new_mill(AIRFLOW_CONN_SMTP_DEFAULT=connection, **webhook_at(hook.server_port))
    post(mill)

    delivered = deliver_often(mill)

    assert delivered == [0, 0, 0]
    assert hook.heard == ["A word"]
    assert outbox_row(mill)["error"]


def test_without_any_channel_nothing_counts_as_delivered(mill):
    post(mill)

    assert deliver_often(mill) == [0, 0, 0]
    assert outbox_row(mill)["delivered_at"] is None
    assert "AIRFLOW_CONN_SMTP_DEFAULT" in outbox_row(mill)["error"]


def test_one_alert_that_cannot_go_does_not_hold_up_the_others(new_mill, hook):
    mill = new_mill(alert_webhook=f"http://127.0.0.1:{hook.server_port}/")
    for subject in ("one", "two"):
        post(mill, subject)

    assert deliver(mill) == 2
    assert hook.heard == ["one", "two"]


# --- a channel that is dead ----------------------------------------------------------------------


def test_a_dead_channel_is_told_of_once_by_the_other_and_when_it_is_back_by_both(
    new_mill, post_office, hook
):
    mill = new_mill(**smtp_at(post_office.port), **webhook_at(hook.server_port))
    hook.status = UNAVAILABLE
    for subject in ("one", "two"):
        post(mill, subject)
    go_round(mill, seconds=0)
    assert post_office.subjects == ["one", "two"]

    go_round(mill, seconds=60)
    go_round(mill, seconds=60)
    away = "[scanmill] the channel webhook takes no alerts"
    assert post_office.subjects == ["one", "two", away]
    hook.status, hook.heard = WELL, []
    go_round(mill, seconds=0)
    go_round(mill, seconds=0)

    back = away.replace("the channel", "over: the channel")
    assert post_office.subjects == ["one", "two", away, back]
    assert hook.heard == ["one", "two", back]
    (over,) = [row for row in rows_of(mill, t.OUTBOX) if row["kind"] == "over"]
    assert "It was away for 2 min; 2 alerts waited for it." in over["text"]


def test_where_mail_is_all_there_is_its_death_is_open_until_it_is_back(
    new_mill, post_office, dead_port
):
    broken = new_mill(**smtp_at(dead_port))
    post(broken, "one")
    go_round(broken, seconds=0)
    go_round(broken, seconds=60)
    alerts = receipt(broken)["alerts"]
    settings = broken.settings.model_copy(
        update={"smtp_connection": smtp_at(post_office.port)["AIRFLOW_CONN_SMTP_DEFAULT"]}
    )
    go_round(dataclasses.replace(broken, settings=settings), seconds=0)

    assert [alert["kind"] for alert in alerts["open"]] == ["channel_away"]
    assert alerts["undelivered"] == 1
    assert post_office.subjects == ["one", "[scanmill] over: the channel mail takes no alerts"]


def test_a_server_that_takes_a_minute_to_refuse_holds_up_one_round_once(
    new_mill, hook, monkeypatch
):
    monkeypatch.setattr(delivering, "_TIMEOUT_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as mute:
        mill = new_mill(**smtp_at(mute.getsockname()[1]), **webhook_at(hook.server_port))
        for number in range(20):
            post(mill, str(number))
        began = time.monotonic()
        deliver(mill)

    assert time.monotonic() - began < 20 * 0.2
    assert len(hook.heard) == 20
    assert {row["tries"] for row in rows_of(mill, t.OUTBOX)} == {1}


def go_round(mill, *, seconds):
    """Let so much time pass, then let the watchdog do one round."""
    with mill.ledger.writing() as connection:
        for row in connection.execute(sa.select(t.OUTBOX)).mappings().all():
            earlier = row["created_at"] - dt.timedelta(seconds=seconds)
            same = t.OUTBOX.c.key == row["key"]
            connection.execute(sa.update(t.OUTBOX).where(same).values(created_at=earlier))
    watch(mill, forever=False)


# --- the watchdog --------------------------------------------------------------------------------


@pytest.fixture(params=["bucket gone", "AccessDenied", "InvalidAccessKeyId"])
def mill_without_store(request, new_mill, hook, monkeypatch):
    """A mill with a webhook, whose store is of no use."""
    mill = new_mill(**webhook_at(hook.server_port))
    if request.param == "bucket gone":
        s3(mill).delete_bucket(Bucket=mill.store.bucket)
        yield mill
        return
    with answering(403, request.param) as (address, _):
        monkeypatch.setenv("AWS_ENDPOINT_URL", address)
        yield mill


def test_a_round_of_the_watchdog_delivers_whatever_the_store_says(mill_without_store, hook):
    post(mill_without_store)

    watch(mill_without_store, forever=False)

    assert hook.heard == ["A word"]


def test_a_store_that_is_of_no_use_is_told_of(mill_without_store):
    now = 0.0
    watchdog = Watchdog(mill_without_store, clock=lambda: now)

    watchdog.look()
    now = 45.0
    watchdog.look()

    assert told(mill_without_store) == ["component_away"]


def test_old_pending_images_are_told_of_and_leave_the_books_in_balance(new_mill):
    mill = new_mill(pending_alert_seconds=0)
    drop(mill, "c/a.png", picture(prose(1)))
    planning.plan_batches(mill)

    findings = audit(mill)
    Watchdog(mill).look()
    mended = heal(mill)

    assert (findings, mended) == ([], 0)
    assert is_balanced(receipt(mill))
    assert told(mill) == ["images_pending"]


def test_alerts_are_sent_by_the_pipeline_while_the_watchdog_hangs(new_mill, hook):
    mill = new_mill(**webhook_at(hook.server_port))
    post(mill)
    with mill.ledger.writing() as connection:
        hung = dt.datetime.now(dt.UTC) - dt.timedelta(seconds=MUTE_SECONDS + 1)
        connection.execute(sa.insert(t.HEARTBEATS).values(name=WATCHDOG, beat_at=hung))

    relieve(mill)

    assert hook.heard == ["A word", "[scanmill] the watchdog is away"]


def test_a_ledger_that_takes_no_writes_is_told_of_once_and_when_it_does(
    new_mill, hook, monkeypatch
):
    monkeypatch.setattr(ledger_module, "_BUSY_SECONDS", 0.05)
    mill = new_mill(**webhook_at(hook.server_port))
    passed = iter(range(0, 1000, 20))
    pulse = Pulse(mill, clock=lambda: next(passed))
    pulse.beat()

    with mill.ledger.writing():  # as a process does that was frozen in the middle of a batch
        for _ in range(3):
            with pytest.raises(RetryableError, match="locked"):
                pulse.beat()
    assert hook.heard == ["[scanmill] the ledger is away"]

    pulse.beat()
    pulse.beat()
    assert hook.heard[1:] == ["[scanmill] over: the ledger is away"]
