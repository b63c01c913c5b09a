"""The proxy breaks what it is told to, counts it, and passes everything else on as it is."""

import os

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError, ConnectionClosedError, HTTPClientError

from scanmill.drill.proxy import Proxy, Rule
from scanmill.local import ports
from unit.ministack_server import client_options

BUCKET = "proxied"
BODY = bytes(range(256)) * 2000


@pytest.fixture(scope="module")
def proxy(endpoint):
    """A proxy before the store."""
    upstream = int(endpoint.rpartition(":")[2])
    port = ports.choose(["proxy"], {})["proxy"]
    with Proxy(port, lambda: upstream, seed=1) as running:
        yield running


@pytest.fixture
def s3(proxy):
    """A client that tries once, and a bucket; nothing is broken before or afterwards."""
    once = Config(retries={"total_max_attempts": 1}, read_timeout=5)
    options = client_options(f"http://127.0.0.1:{proxy.port}")
    client = boto3.client("s3", config=once, **options)
    client.create_bucket(Bucket=BUCKET)
    yield client
    proxy.obey()


def test_what_no_rule_is_about_passes_unchanged(s3):
    s3.put_object(Bucket=BUCKET, Key="a b/é+%25.png", Body=BODY, ContentType="image/png")
    answer = s3.get_object(Bucket=BUCKET, Key="a b/é+%25.png")
    head = s3.head_object(Bucket=BUCKET, Key="a b/é+%25.png")

    assert answer["Body"].read() == BODY
    assert answer["ContentType"] == "image/png"
    assert head["ContentLength"] == len(BODY)
    with pytest.raises(ClientError, match="NoSuchKey"):
        s3.get_object(Bucket=BUCKET, Key="none")


@pytest.mark.parametrize(("kind", "code"), [("error_503", "SlowDown"), ("error_500", "Internal")])
def test_an_error_is_answered_and_the_next_request_is_sound(s3, proxy, kind, code):
    proxy.obey(Rule(kind=kind, match="^PUT", most=1))
    with pytest.raises(ClientError, match=code):
        s3.put_object(Bucket=BUCKET, Key="refused", Body=BODY)
    s3.put_object(Bucket=BUCKET, Key="refused", Body=BODY)

    assert proxy.hits == {kind: 1}
    assert s3.get_object(Bucket=BUCKET, Key="refused")["Body"].read() == BODY


def test_an_answer_that_is_lost_belongs_to_a_request_that_was_done(s3, proxy):
    proxy.obey(Rule(kind="lose_answer", match="^PUT", most=1))
    with pytest.raises((ConnectionClosedError, HTTPClientError)):
        s3.put_object(Bucket=BUCKET, Key="done", Body=BODY)

    assert s3.get_object(Bucket=BUCKET, Key="done")["Body"].read() == BODY


def test_a_request_that_is_reset_was_not_done(s3, proxy):
    proxy.obey(Rule(kind="reset", match="^PUT", most=1))
    with pytest.raises((ConnectionClosedError, HTTPClientError)):
        s3.put_object(Bucket=BUCKET, Key="never", Body=BODY)

    with pytest.raises(ClientError, match="NoSuchKey"):
        s3.get_object(Bucket=BUCKET, Key="never")


def test_a_body_that_breaks_off_is_never_taken_for_whole(s3, proxy):
    s3.put_object(Bucket=BUCKET, Key="half", Body=BODY)
    proxy.obey(Rule(kind="truncate", match="^GET", most=1))
    with pytest.raises((OSError, HTTPClientError)):
        s3.get_object(Bucket=BUCKET, Key="half")["Body"].read()

    assert s3.get_object(Bucket=BUCKET, Key="half")["Body"].read() == BODY


def test_a_rule_of_the_queue_leaves_s3_alone(s3, proxy, endpoint):
    options = client_options(f"http://127.0.0.1:{proxy.port}")
    sqs = boto3.client("sqs", config=Config(retries={"total_max_attempts": 1}), **options)
    proxy.obey(Rule(kind="refuse", plane="queue"))
    with pytest.raises((ConnectionClosedError, HTTPClientError)):
        sqs.create_queue(QueueName="drill")
    s3.put_object(Bucket=BUCKET, Key="sound", Body=BODY)

    assert proxy.hits == {"refuse": 1}


def test_messages_are_lost_for_good_or_come_twice(s3, proxy):
    options = client_options(f"http://127.0.0.1:{proxy.port}")
    sqs = boto3.client("sqs", **options)
    url = sqs.create_queue(QueueName=f"drill-{os.getpid()}")["QueueUrl"]
    proxy.obey(Rule(kind="double_message", plane="queue", match="", most=1))
    sqs.send_message(QueueUrl=url, MessageBody="one")
    doubled = sqs.receive_message(QueueUrl=url, VisibilityTimeout=0)["Messages"]
    proxy.obey(Rule(kind="lose_message", plane="queue"))
    lost = sqs.receive_message(QueueUrl=url, VisibilityTimeout=0).get("Messages", [])
    hits = proxy.hits["lose_message"]
    proxy.obey()

    assert [message["Body"] for message in doubled] == ["one", "one"]
    assert (lost, hits) == ([], 1)
    assert sqs.receive_message(QueueUrl=url).get("Messages", []) == []
