"""The pages: guarded, escaped, closed to scripts, and nothing but reports from the bucket."""

import datetime as dt
import mailbox
import subprocess
import sys

import boto3
import pytest
from fastapi import HTTPException
from fastapi.testclient import TestClient
from ministack_server import client_options, running_ministack

from scanmill.settings import Settings
from scanmill.web import reports
from scanmill.web.app import create_app

HOSTILE = "<script>alert('x')</script> {{ 7*7 }} & \"quoted\""


def anyone():
    return None


def no_one():
    raise HTTPException(401, "Not authenticated")


@pytest.fixture(scope="module")
def s3(tmp_path_factory):
    with running_ministack(tmp_path_factory.mktemp("web")) as endpoint:
        client = boto3.client("s3", **client_options(endpoint))
        client.create_bucket(Bucket="scanmill")
        put = client.put_object
        put(Bucket="scanmill", Key="batches/demo-000001/report/pages/index.html", Body=b"<p>ok</p>")
        put(Bucket="scanmill", Key="batches/demo-000001/report/pages/a/b.png", Body=b"png")
        put(Bucket="scanmill", Key="batches/demo-000001/report/pages/odd.exe", Body=b"MZ")
        put(Bucket="scanmill", Key="batches/demo-000001/plan.parquet", Body=b"secret")
        put(Bucket="scanmill", Key="batches/demo-000002/plan.parquet", Body=b"secret")
        yield client


@pytest.fixture
def maildir(tmp_path):
    box = mailbox.Maildir(tmp_path / "mail", create=True)
    message = mailbox.MaildirMessage()
    message["From"], message["To"], message["Subject"] = "mill@localhost", "you@x", HOSTILE
    message.set_payload(f"{HOSTILE}\nsee http://127.0.0.1:1/scanmill/reports/\n")
    box.add(message)
    return tmp_path / "mail"


@pytest.fixture
def client(s3, maildir, monkeypatch):
    monkeypatch.setattr(reports, "_s3", lambda: s3)
    settings = Settings(bucket="scanmill", inbox_dir=maildir)
    return TestClient(create_app(guard=anyone, settings=settings))


PAGES = ["/", "/inbox", "/inbox/x", "/reports/", "/reports/demo-000001/pages/index.html"]


@pytest.mark.parametrize("page", PAGES)
def test_every_page_stands_behind_the_guard(page, maildir):
    closed = TestClient(create_app(guard=no_one, settings=Settings(inbox_dir=maildir)))

    assert closed.get(page).status_code == 401


@pytest.mark.parametrize("page", ["/docs", "/openapi.json", "/redoc"])
def test_no_page_describes_the_others(client, page):
    assert client.get(page).status_code == 404


@pytest.mark.parametrize("page", PAGES)
def test_no_page_may_run_or_load_anything(client, page):
    headers = client.get(page).headers

    assert "default-src 'none'" in headers["content-security-policy"]
    assert "script-src 'none'" in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"


def test_a_hostile_subject_is_only_shown(client):
    listed = client.get("/inbox").text

    assert "<script>" not in listed
    assert "{{ 7*7 }}" in listed
    assert dt.datetime.now(dt.UTC).strftime("%Y-%m-%d") in listed


def test_a_hostile_mail_is_only_shown(client, maildir):
    name = next((maildir / "new").iterdir()).name
    shown = client.get(f"/inbox/{name}").text

    assert "<script>" not in shown
    assert "{{ 7*7 }}" in shown
    assert '<a href="http://127.0.0.1:1/scanmill/reports/"' in shown


def test_an_unknown_mail_is_not_found(client):
    assert client.get("/inbox/..%2F..%2Fsecrets.json").status_code == 404


def test_without_an_inbox_the_page_says_so():
    app = create_app(guard=anyone, settings=Settings(inbox_dir=None))

    assert "no local inbox" in TestClient(app).get("/inbox").text


def test_batches_gates_and_files_can_be_walked(client):
    assert 'href="/reports/demo-000001/"' in client.get("/reports/").text
    assert 'href="/reports/demo-000001/pages/"' in client.get("/reports/demo-000001/").text
    assert client.get("/reports/demo-000001/pages/").text == "<p>ok</p>"


def test_links_start_where_the_pages_are_mounted(client):
    mounted = TestClient(client.app, root_path="/scanmill")

    assert 'href="/scanmill/reports/demo-000001/"' in mounted.get("/reports/").text


@pytest.mark.parametrize(
    ("path", "media_type", "disposition"),
    [
        ("index.html", "text/html; charset=utf-8", "inline"),
        ("a/b.png", "image/png", "inline"),
        ("odd.exe", "application/octet-stream", "attachment"),
    ],
)
def test_a_file_is_served_as_what_its_name_says(client, path, media_type, disposition):
    answer = client.get(f"/reports/demo-000001/pages/{path}")

    assert answer.headers["content-type"] == media_type
    assert answer.headers["content-disposition"] == disposition


@pytest.mark.parametrize(
    "path",
    [
        "demo-000001/pages/../../plan.parquet",
        "demo-000001/pages/..%2F..%2Fplan.parquet",
        "demo-000001/pages/%2e%2e/%2e%2e/plan.parquet",
        "demo-000001/..%2Fplan.parquet/x",
        "demo-000001/../index.html",
        "demo-000001/pages//index.html",
        "demo-000001/pages/a%00b",
        "..%2Fdemo-000001/pages/index.html",
        "demo-000001/pages/none.html",
    ],
)
def test_nothing_but_reports_is_served(client, path):
    answer = client.get(f"/reports/{path}")

    assert answer.status_code in {404, 422}
    assert "secret" not in answer.text


def test_the_plugin_is_light_where_no_page_is_asked_for():
    heavy = ["pandas", "datasets", "great_expectations", "scanmill.web.app", "boto3"]
    script = (
        "import airflow.plugins_manager, sys; before = set(sys.modules);"
        "import scanmill.orchestration.plugin;"
        f"print([name for name in {heavy!r} if name in set(sys.modules) - before])"
    )
    said = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )

    assert said.stdout.strip().splitlines()[-1] == "[]"
