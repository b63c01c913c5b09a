"""Every fault that the drill knows, in the order in which it is injected."""

from scanmill.drill.fault import Fault
from scanmill.drill.faults import books, machine, network, people, processes

ALL: tuple[Fault, ...] = (
    *processes.FAULTS,
    *network.FAULTS,
    *people.FAULTS,
    *machine.FAULTS,
    *books.FAULTS,
)
