"""A pause of everything on the running stack: Airflow drops the events, the sweep does not."""

from running_stack import wait_until
from scans import good_scans

from scanmill.drill.own_stack import DAGS


def test_what_is_uploaded_while_every_dag_is_paused_is_in_the_dataset_afterwards(stack):
    with stack.paused(*DAGS):
        rung = stack.newest_event("landing")
        stack.upload("paused", good_scans(2, seed=40))
        wait_until("the doorbell rang in vain", lambda: stack.newest_event("landing") > rung)
        wait_until("the queue is empty", lambda: stack.waiting_messages() == 0)
        planned = stack.batches("paused")
    stack.settle()
    sums = stack.receipt()

    assert planned == []
    assert sum(sums["datasets"]["paused"]["rows"].values()) == 2
