"""What fails on the running stack: retries by error class, one alert each, and nothing lost."""

from running_stack import wait_until

DIES = ("fails_for_good", "is_killed", "segfaults", "takes_too_long")
DAGS = (*DIES, "fails_once")
DONE = {"success", "failed"}


def test_every_way_to_fail_is_retried_by_its_class_and_told_of_once(stack):
    hanging = stack.trigger("hangs")
    runs = {dag_id: stack.trigger(dag_id) for dag_id in DAGS}
    states = wait_until("all runs but the hanging one are over", lambda: ended(stack, runs))
    tries = {dag_id: stack.tasks(dag_id, run)[0]["try_number"] for dag_id, run in runs.items()}
    wait_until("all alerts are delivered", lambda: len(delivered(stack, runs)) == len(DIES))
    hung = wait_until("the hanging one is told of", lambda: stack.mails("hangs.fail hangs"))
    (task,) = stack.tasks("hangs", hanging)
    stack.kill_task(task)
    wait_until("it is over", lambda: stack.mails("over: hangs.fail hangs"))
    wait_until("its failure is told of", lambda: stack.mails("hangs failed"))
    told = sorted(alert["key"].split(":")[1] for alert in told_of(stack, runs))
    texts = {dag_id: [mail.text for mail in stack.mails(f"{dag_id} failed")] for dag_id in DIES}

    assert states == {"fails_once": "success"} | dict.fromkeys(DIES, "failed")
    assert tries == {
        "fails_for_good": 1,
        "fails_once": 2,
        "is_killed": 2,
        "segfaults": 1,
        "takes_too_long": 1,
    }
    assert told == sorted(DIES)
    assert {len(mails) for mails in texts.values()} == {1}
    assert "The rights of this role are gone." in texts["fails_for_good"][0]
    assert "probably killed" in texts["is_killed"][0]
    assert "probably killed" in texts["segfaults"][0]
    assert "AirflowTaskTimeout" in texts["takes_too_long"][0]
    assert task["state"] == "running"
    assert len(hung) == 1
    assert stack.mails("fails_once") == []


def ended(stack, runs):
    states = {
        dag_id: stack.runs(dag_id, dag_run_id=run_id)[0]["state"] for dag_id, run_id in runs.items()
    }
    return states if set(states.values()) <= DONE else None


def told_of(stack, runs):
    found = [alert for dag_id in runs for alert in stack.alerts(f"run_failed:{dag_id}:")]
    return [alert for alert in found if alert["kind"] == "run_failed"]


def delivered(stack, runs):
    return [alert for alert in told_of(stack, runs) if alert["delivered_at"]]
