"""The drill itself: sound code comes through it, and three planted bugs do not."""

import dataclasses
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from planted import CONFUSES, DOUBLES, LOSES

from scanmill.drill import faults
from scanmill.drill.drilling import Outcome, Wish
from scanmill.drill.fault import Result

ROOT = Path(__file__).parents[2]
PROGRAM = Path(sys.executable).with_name("scanmill")
FOREIGN = ("SCANMILL_", "AWS_", "AIRFLOW")
SECONDS = 900


def drill(*words):
    """Type the command, and return its exit code and what it says of each fault."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith(FOREIGN)}
    said = subprocess.run(
        [PROGRAM, "drill", *words, "--json"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=SECONDS,
    )
    sys.stderr.write(said.stderr)
    answer = json.loads(said.stdout)
    assert answer["ok"] == (said.returncode == 0)
    return said.returncode, {fault["name"]: fault for fault in answer["faults"]}


def test_nothing_is_lost_under_six_faults():
    code, found = drill("--quick")

    assert set(found) == {fault.name for fault in faults.ALL if fault.is_quick}
    assert len(found) == 6
    for name, fault in found.items():
        sums = (fault["lost"], fault["twice"], fault["wrong"], fault["ok"])
        assert (name, *sums) == (name, 0, 0, 0, True)
        assert fault["injected"] > 0
        assert fault["uploads"] > 0
    assert code == 0


def test_what_cannot_be_injected_proves_nothing():
    fault = next(one for one in faults.ALL if one.name == "event_lost")
    skipped = Result.not_injected(fault, "this stack has no queue")
    seen = dataclasses.replace(
        skipped, name="s3_503", injected=1, uploads=10, ok=True, hindrance=""
    )
    wish = Wish(faults=[fault], storms=0, uploads=1, seed=1, store="seaweedfs")

    def outcome(*results):
        return Outcome(wish=wish, faults=results, storms=(), seconds=1.0).to_json()

    assert outcome(skipped) == {
        "faults": [],
        "not_injected": {"event_lost": "this stack has no queue"},
        "ok": False,
    }
    assert outcome(seen, skipped)["faults"] == outcome(seen)["faults"] != []
    assert outcome(seen, skipped)["ok"]


def test_three_planted_bugs_turn_it_red(tmp_path):
    code, found = drill(*chosen(LOSES, DOUBLES, CONFUSES), "--dags", str(buggy_dags(tmp_path)))

    assert code == 1
    assert {name: fault["ok"] for name, fault in found.items()} == dict.fromkeys(found, False)
    assert found[LOSES]["lost"] > 0
    assert found[DOUBLES]["twice"] > 0
    assert found[CONFUSES]["wrong"] > 0


def chosen(*names):
    return [word for name in names for word in ("--fault", name)]


def buggy_dags(folder):
    for path in (ROOT / "dags").glob("*.py"):
        bug = "\nimport planted\n\nplanted.plant()\n"
        (folder / path.name).write_text(path.read_text() + bug)
    shutil.copy(Path(__file__).with_name("planted.py"), folder)
    return folder


@pytest.mark.parametrize(
    ("words", "remedy"),
    [
        (("--fault", "no_such_fault"), "drill --list"),
        (("--corpus", "no/such/folder"), "--corpus DIR"),
    ],
)
def test_wrong_usage_starts_no_stack(words, remedy):
    said = subprocess.run(
        [PROGRAM, "drill", *words], capture_output=True, text=True, check=False, timeout=SECONDS
    )

    assert said.returncode == 2
    assert remedy in said.stderr
    assert "Starting" not in said.stderr


def test_at_least_24_faults_have_names_of_their_own():
    names = [fault.name for fault in faults.ALL]

    assert len(names) == len(set(names)) >= 24
