"""The profiles in which the stack runs; one stack at a time, shared by the tests of its profile."""

import shutil
from pathlib import Path

import pytest
from running_stack import RunningStack, wait_until

from scanmill.drill.own_stack import DAGS

ROOT = Path(__file__).parents[2]
USERS = ("failing.py", "fine_tune.py")
THEIRS = (
    *("fails_for_good", "fails_once", "fine_tune", "hangs"),
    *("is_killed", "segfaults", "takes_too_long"),
)

RETRY_SOON = {"SCANMILL_RETRY_SECONDS": "2"}
# Nothing is announced a second time while a test holds the consumer up.
PATIENT = {"SCANMILL_ANNOUNCE_AGAIN_SECONDS": "150"}
PROFILES = {
    "usual": PATIENT | {"SCANMILL_SWEEP_SECONDS": "20", "SCANMILL_AUDIT_SECONDS": "120"},
    "queue alone": PATIENT | {"SCANMILL_SWEEP_SECONDS": "0", "SCANMILL_AUDIT_SECONDS": "0"},
    "sweep alone": {
        "SCANMILL_LOCAL_STORE": "seaweedfs",  # which knows no queue
        "SCANMILL_SWEEP_SECONDS": "5",
        "SCANMILL_ANNOUNCE_AGAIN_SECONDS": "15",
    },
}


class Stacks:
    """Starts the stack of a profile when a test asks for it, and stops the one before."""

    def __init__(self, new_folder):
        self._new_folder = new_folder
        self._name = ""
        self._stack = None

    def of(self, name):
        if name != self._name:
            self.stop()
            folder = self._new_folder("stack")
            dags, wanted = self._dags(folder / "dags", with_users=name == "usual")
            settings = RETRY_SOON | PROFILES[name]
            self._stack = RunningStack(folder / "home", dags=dags, settings=settings)
            self._name = name
            self._stack.up()
            wait_until("every DAG is known", lambda: wanted <= self._stack.known_dags())
        return self._stack

    def stop(self):
        stack, self._stack, self._name = self._stack, None, ""
        if stack is not None:
            assert stack.down() == []

    def _dags(self, folder, *, with_users):
        folder.mkdir()
        sources = [ROOT / "dags" / f"{dag_id}.py" for dag_id in DAGS]
        if with_users:
            sources += [Path(__file__).with_name(name) for name in USERS]
        for path in sources:
            shutil.copy(path, folder)
        return folder, {*DAGS, *(THEIRS if with_users else ())}


@pytest.fixture(scope="session")
def stacks(tmp_path_factory):
    stacks = Stacks(tmp_path_factory.mktemp)
    yield stacks
    stacks.stop()


@pytest.fixture
def stack(stacks):
    """The stack as users have it, with shorter intervals and some DAGs of a user."""
    return stacks.of("usual")


@pytest.fixture
def stack_without_sweep(stacks):
    """A stack that only hears of uploads."""
    return stacks.of("queue alone")


@pytest.fixture
def stack_without_queue(stacks):
    """A stack that only looks for uploads."""
    return stacks.of("sweep alone")
