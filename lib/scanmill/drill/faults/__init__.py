"""Every fault that the drill knows, in the order in which it is injected."""

from scanmill.drill.fault import Fault
from scanmill.drill.faults import books, files, machine, network, people, processes
from scanmill.drill.faults.files import corpus

__all__ = ["ALL", "corpus"]

ALL: tuple[Fault, ...] = (
    *processes.FAULTS,
    *network.FAULTS,
    *people.FAULTS,
    *machine.FAULTS,
    *files.FAULTS,
    *books.FAULTS,
)
