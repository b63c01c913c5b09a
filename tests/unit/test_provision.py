"""The store of the local stack: bucket, queue and notifications."""

import json

import pytest
from ministack_server import client_options, running_ministack

from scanmill.errors import RetryableError
from scanmill.local import ports
from scanmill.local.provision import Store, provision, wrong


def store_at(endpoint, queue="scanmill-landing"):
    options = client_options(endpoint)
    return Store.of(
        {
            "AWS_ENDPOINT_URL": endpoint,
            "AWS_REGION": options["region_name"],
            "AWS_ACCESS_KEY_ID": options["aws_access_key_id"],
            "AWS_SECRET_ACCESS_KEY": options["aws_secret_access_key"],
            "SCANMILL_BUCKET": "scanmill",
            "SCANMILL_QUEUE_URL": queue and f"{endpoint}/000000000000/{queue}",
        }
    )


def bodies(store):
    answer = store.sqs.receive_message(QueueUrl=store.queue_url, MaxNumberOfMessages=10)
    return [json.loads(message["Body"]) for message in answer.get("Messages", [])]


def test_a_fresh_store_is_provisioned_once(tmp_path):
    with running_ministack(tmp_path) as endpoint:
        store = store_at(endpoint)

        assert provision(store) == ["bucket", "versioning", "queue", "notification"]
        assert provision(store) == []
        assert wrong(store) == []


def test_only_uploads_ring_the_bell(tmp_path):
    with running_ministack(tmp_path) as endpoint:
        store = store_at(endpoint)
        provision(store)
        store.s3.put_object(Bucket="scanmill", Key="batches/plan", Body=b"1")
        store.s3.put_object(Bucket="scanmill", Key="landing/c/a.png", Body=b"1")
        store.s3.delete_object(Bucket="scanmill", Key="landing/c/a.png")
        heard = [record for body in bodies(store) for record in body.get("Records", [])]

    assert [record["s3"]["object"]["key"] for record in heard] == ["landing/c/a.png"] * 2


@pytest.mark.parametrize("broken", ["versioning", "queue", "notification"])
def test_what_somebody_undid_is_set_again(tmp_path, broken):
    with running_ministack(tmp_path) as endpoint:
        store = store_at(endpoint)
        provision(store)
        undo(store, broken)
        changed = provision(store)

        assert broken in changed
        assert wrong(store) == []


def undo(store, what):
    if what == "versioning":
        store.s3.put_bucket_versioning(
            Bucket="scanmill", VersioningConfiguration={"Status": "Suspended"}
        )
    elif what == "queue":
        store.sqs.delete_queue(QueueUrl=store.queue_url)
    else:
        store.s3.put_bucket_notification_configuration(
            Bucket="scanmill", NotificationConfiguration={}
        )


def test_without_a_queue_nothing_is_notified(tmp_path):
    with running_ministack(tmp_path) as endpoint:
        store = store_at(endpoint, queue="")

        assert provision(store) == ["bucket", "versioning"]


def test_a_store_that_is_away_is_worth_another_try():
    with pytest.raises(RetryableError, match="scanmill"):
        provision(store_at("http://127.0.0.1:9"))


def test_the_server_of_these_tests_is_gone_afterwards(tmp_path):
    with running_ministack(tmp_path) as endpoint:
        port = int(endpoint.rpartition(":")[2])
        assert ports.is_listening(port)

    assert not ports.is_listening(port)
