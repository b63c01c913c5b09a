"""What fails on the running stack: retries by error class, one alert each, and nothing lost."""

from running_stack import wait_until
from scans import MANY, good_scans

DAGS = ("fails_for_good", "fails_once", "is_killed")
DONE = {"success", "failed"}


def test_every_error_is_retried_by_its_class_and_told_of_once(stack):
    runs = {dag_id: stack.trigger(dag_id) for dag_id in DAGS}
    states = wait_until("all three runs are over", lambda: ended(stack, runs))
    tries = {dag_id: stack.tasks(dag_id, run)[0]["try_number"] for dag_id, run in runs.items()}
    wait_until("both alerts are delivered", lambda: len(delivered(stack, runs)) == 2)
    told = sorted(stack_alert["key"].split(":")[1] for stack_alert in told_of(stack, runs))

    assert states == {"fails_for_good": "failed", "fails_once": "success", "is_killed": "failed"}
    assert tries == {"fails_for_good": 1, "fails_once": 2, "is_killed": 2}
    assert told == ["fails_for_good", "is_killed"]
    assert "The rights of this role are gone." in stack.mails("fails_for_good")[0].text
    assert "probably killed" in stack.mails("is_killed")[0].text
    assert len(stack.mails("fails_for_good")) == len(stack.mails("is_killed")) == 1
    assert stack.mails("fails_once") == []


def test_everything_arrives_although_the_scheduler_is_killed_in_the_middle(stack):
    scans = good_scans(MANY + 4, seed=30)
    # In a folder of their own: a label keeps the dataset gate from warning.
    stack.upload_as_one_batch("storm/words", scans[:MANY])
    wait_until("the first half is being read", lambda: stack.slice_at_work("storm-000001"))
    stack.kill("scheduler")
    stack.upload("storm/words", scans[MANY:], first=MANY)
    stack.settle()
    sums = stack.receipt()

    assert sum(sums["datasets"]["storm"]["rows"].values()) == MANY + 4
    assert stack.alerts("storm-") == []


def ended(stack, runs):
    states = {
        dag_id: stack.runs(dag_id, dag_run_id=run_id)[0]["state"] for dag_id, run_id in runs.items()
    }
    return states if set(states.values()) <= DONE else None


def told_of(stack, runs):
    return [alert for dag_id in runs for alert in stack.alerts(f"run_failed:{dag_id}:")]


def delivered(stack, runs):
    return [alert for alert in told_of(stack, runs) if alert["delivered_at"]]
