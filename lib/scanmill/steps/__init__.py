"""The use cases, one module each, in running order; every step may be run again at any time."""

import dataclasses
from typing import Self

from scanmill.ledger import Ledger
from scanmill.settings import Settings
from scanmill.store import Store


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Mill:
    """What every step works with: the settings, the bucket and the ledger."""

    settings: Settings
    store: Store
    ledger: Ledger

    @classmethod
    def from_settings(cls, settings: Settings | None = None) -> Self:
        """Open the bucket and the ledger that the settings name."""
        settings = settings or Settings.load()
        return cls(
            settings=settings, store=Store(settings.bucket), ledger=Ledger(settings.ledger_url)
        )
