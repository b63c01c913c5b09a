"""Finds the pages of a build whose text is in the dataset already, or earlier in the build."""

from collections import defaultdict
from collections.abc import Mapping, Sequence

from sqlalchemy.engine import Connection

from scanmill.dataset import duplicates
from scanmill.ledger import candidates
from scanmill.models import Reason


class BuildTexts:
    """The texts of a build's pages, and of what is published and looks like them.

    Only what is published or kept can be an original: the cost grows with the pages of the build
    and never with how many of them are alike.
    """

    def __init__(self, connection: Connection, page_ids: Sequence[str], *, least: float) -> None:
        """Load signatures; `least` is the similarity from which two texts count as one."""
        self._published = candidates.published_alike(connection, page_ids)
        involved = sorted({*page_ids, *(p for some in self._published.values() for p in some)})
        self._bands = candidates.bands(connection, involved)
        self._sketches = candidates.sketches(connection, involved)
        self._least = least
        self._kept_by_band: dict[str, list[str]] = defaultdict(list)

    def alike(self, page_id: str) -> Mapping[str, Reason]:
        """Return the published and kept pages with this page's text, and how they are alike."""
        others = set(self._published.get(page_id, ()))
        for band in self._bands.get(page_id, ()):
            others.update(self._kept_by_band[band])
        reasons = {other: self._reason(page_id, other) for other in others}
        return {other: reason for other, reason in reasons.items() if reason}

    def keep(self, page_id: str) -> None:
        """Note that a page of this build will be published."""
        for band in self._bands.get(page_id, ()):
            self._kept_by_band[band].append(page_id)

    def _reason(self, page_id: str, other: str) -> Reason | None:
        shared = self._bands[page_id] & self._bands[other]
        if any(map(duplicates.is_exact, shared)):
            return Reason.SAME_TEXT
        one, two = self._sketches[page_id], self._sketches[other]
        return Reason.NEAR_TEXT if duplicates.similarity(one, two) >= self._least else None
