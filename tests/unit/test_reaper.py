"""Whoever belongs to a stack is found and ended, and nobody else."""

import os
import signal
import subprocess
import sys

import pytest

from scanmill.local import reaper

FAMILY = """
import signal, subprocess, sys, time
if {deaf}:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], start_new_session=True)
print("ready", flush=True)
time.sleep(60)
"""


def start_family(markers, *, deaf=False):
    process = subprocess.Popen(
        [sys.executable, "-c", FAMILY.format(deaf=deaf)],
        env={**os.environ, **markers},
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    assert process.stdout is not None
    process.stdout.readline()
    return process


@pytest.mark.parametrize("deaf", [False, True])
def test_the_whole_family_of_a_dead_program_is_ended(tmp_path, deaf):
    ours = {reaper.STACK_MARKER: str(tmp_path)}
    with start_family(ours, deaf=deaf) as parent:
        ended = reaper.reap(ours, grace_seconds=0.5)

    assert parent.pid in ended
    assert len(ended) == 2
    assert reaper.marked(ours) == []


def test_children_whose_parent_was_killed_are_found(tmp_path):
    ours = {reaper.STACK_MARKER: str(tmp_path)}
    with start_family(ours) as parent:
        parent.send_signal(signal.SIGKILL)
        parent.wait()

    assert len(reaper.reap(ours)) == 1


def test_another_stack_and_another_program_are_spared(tmp_path):
    other_stack = {reaper.STACK_MARKER: f"{tmp_path}-other", reaper.PROGRAM_MARKER: "store"}
    other_program = {reaper.STACK_MARKER: str(tmp_path), reaper.PROGRAM_MARKER: "mail"}
    with start_family(other_stack) as first, start_family(other_program) as second:
        reaped = reaper.reap({reaper.STACK_MARKER: str(tmp_path), reaper.PROGRAM_MARKER: "store"})

        assert reaped == []
        assert first.poll() is None
        assert second.poll() is None
        reaper.reap(other_stack)
        reaper.reap(other_program)


def test_the_one_who_reaps_is_spared(tmp_path):
    ours = {reaper.STACK_MARKER: str(tmp_path)}
    script = f"from scanmill.local.reaper import reap; print(reap({ours!r}))"
    said = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, **ours},
        capture_output=True,
        text=True,
        check=True,
    )

    assert said.stdout.strip() == "[]"


HIDING = """
import ctypes, os, sys, time
if os.fork():
    time.sleep(60)
os.setpgid(0, 0)
ctypes.CDLL(None).prctl(4, 0, 0, 0, 0)  # PR_SET_DUMPABLE, as Airflow does around its tasks
print(os.getpid(), flush=True)
time.sleep(60)
"""


@pytest.mark.skipif(os.geteuid() == 0, reason="root sees the environment of every process")
def test_a_process_that_hides_its_environment_is_found_by_its_session():
    leader = subprocess.Popen(
        [sys.executable, "-c", HIDING], stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    hidden = int(leader.stdout.readline())
    nobody = {reaper.STACK_MARKER: "of nobody"}
    strange = reaper.marked(nobody, kin=reaper.Kin(session=leader.pid, group=leader.pid))
    leader.kill()
    leader.wait()

    assert strange == []  # its parent lives, and its group is another
    assert reaper.marked(nobody) == []
    assert reaper.reap(nobody, kin=reaper.Kin(session=leader.pid)) == [hidden]
