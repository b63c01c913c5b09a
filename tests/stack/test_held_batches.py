"""The gate on the running stack: a few nonsense pages warn, many hold the batch for a person."""

import re
import shlex

import httpx
from running_stack import wait_until
from scans import good_scans, nonsense_scans

NUMBERS = {
    "images": "images",
    "images quarantined": "images_quarantined",
    "pages found": "found",
    "pages held": "held",
    "pages rejected": "rejected",
    "pages quarantined": "quarantined",
}


def test_a_batch_with_some_nonsense_warns_once_and_is_published(stack):
    scans = good_scans(27, seed=20) + nonsense_scans(3, seed=20)
    stack.upload_as_one_batch("some", scans)
    stack.settle()
    wait_until("the warning is delivered", lambda: are_delivered(stack, "some-000001"))
    counts = stack.page_counts("some-000001")
    (mail,) = stack.mails("some-000001")

    assert (counts["found"], counts["published"], counts["rejected"]) == (30, 27, 3)
    assert "passed with a warning" in mail.subject
    assert "3" in mail.text
    assert [run["state"] for run in stack.runs("build_dataset", partition_key="some-000001")] == [
        "success"
    ]
    stack.receipt()


def test_a_batch_with_much_nonsense_waits_for_the_command_in_the_one_mail(stack):
    stack.upload_as_one_batch("much", good_scans(2, seed=21))
    stack.settle()
    before = stack.dataset("much")
    stack.upload_as_one_batch("much", good_scans(21, seed=22) + nonsense_scans(9, seed=22))
    stack.settle()
    wait_until("the alert is delivered", lambda: are_delivered(stack, "much-000002"))
    (reading,) = stack.runs("recognize_pages", partition_key="much-000002")
    judges = [
        (task["state"], task["try_number"])
        for task in stack.tasks("recognize_pages", reading["dag_run_id"])
        if task["task_id"] == "judge_batch"
    ]
    counts = stack.page_counts("much-000002")
    (mail,) = stack.mails("much-000002")

    assert stack.batch_in_state("much", "held")
    assert judges == [("failed", 1)]
    assert reading["state"] == "failed"
    assert stack.events("pages", partition_key="much-000002") == []
    assert stack.runs("build_dataset", partition_key="much-000002") == []
    assert before
    assert stack.dataset("much") == before
    assert numbers(mail.text) == {
        "images": 30,
        "images quarantined": 0,
        "pages found": counts["found"],
        "pages held": counts["held"],
        "pages rejected": counts["rejected"],
        "pages quarantined": counts["quarantined"],
    }
    assert counts["held"] == counts["found"] == 30
    assert 1 <= len(causes(mail.text)) <= 3
    assert "reads as nonsense" in causes(mail.text)[0]
    assert_report_is_behind_the_login(stack, mail.text)
    stack.receipt()

    said = stack.type(*command(mail.text))
    stack.settle()
    counts = stack.page_counts("much-000002")

    assert said.returncode == 0
    assert stack.dataset("much") != before
    assert (counts["held"], counts["published"], counts["rejected"]) == (0, 21, 9)
    assert len(stack.events("pages", partition_key="much-000002")) == 1
    assert [run["state"] for run in stack.runs("build_dataset", partition_key="much-000002")] == [
        "success"
    ]
    assert len(stack.alerts("much-000002")) == len(stack.mails("much-000002")) == 1
    stack.receipt()


def are_delivered(stack, batch_id):
    alerts = stack.alerts(batch_id)
    return bool(alerts) and all(alert["delivered_at"] for alert in alerts)


def numbers(text):
    """Return the numbers that a mail names under what is at stake."""
    found = re.findall(r"^  (images|pages)( \w+)? +(\d+)$", text, re.MULTILINE)
    return {noun + fate: int(number) for noun, fate, number in found}


def causes(text):
    """Return the sentences under `Main causes` of a mail."""
    return re.findall(r"^  - (.+)$", text.partition("Main causes:")[2].partition("\n\n")[0], re.M)


def assert_report_is_behind_the_login(stack, text):
    (address,) = re.findall(r"^  (http\S+)$", text, re.MULTILINE)

    assert stack.api.get(address).status_code == 200
    assert httpx.get(address).status_code == 401
    sent_away = httpx.get(address, headers={"Accept": "text/html"})
    assert sent_away.status_code == 303
    assert "/login" in sent_away.headers["Location"]


def command(text):
    """Return the words of the command by which a mail says to release the batch."""
    (line,) = re.findall(r'^  \./scanmill (review .+ --release --because "\.\.\.")', text, re.M)
    return shlex.split(line.replace("...", "the letters are part numbers"))
