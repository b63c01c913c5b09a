"""Finds the pages of a build whose text is in the dataset already, or earlier in the build."""

import itertools
from collections import defaultdict
from collections.abc import Mapping, Sequence

from sqlalchemy.engine import Connection

from scanmill.dataset import duplicates
from scanmill.ledger import candidates
from scanmill.models import Reason, Signature


class BuildTexts:
    """The texts of a build's pages, and of what is published and looks like them.

    Only what is published or kept can be an original: the cost grows with the pages of the build
    and never with how many of them are alike.
    """

    def __init__(
        self,
        connection: Connection,
        collection: str,
        page_ids: Sequence[str],
        *,
        read_again: Mapping[str, Signature],
        least: float,
    ) -> None:
        """Load signatures; `least` is the similarity from which two texts count as one.

        The signatures of pages that were read again are not in the ledger yet.
        """
        new_bands = {page_id: set(one.bands) for page_id, one in read_again.items()}
        new_sketches = {page_id: one.sketch for page_id, one in read_again.items() if one.sketch}
        ours = candidates.bands(connection, page_ids) | new_bands
        all_bands = sorted(set(itertools.chain.from_iterable(ours.values())))
        self._published_by_band = candidates.published_with(connection, collection, all_bands)
        others = set(itertools.chain.from_iterable(self._published_by_band.values()))
        involved = sorted({*page_ids, *others})
        self._bands = candidates.bands(connection, involved) | new_bands
        self._sketches = candidates.sketches(connection, involved) | new_sketches
        self._least = least
        self._kept_by_band: dict[str, list[str]] = defaultdict(list)

    def alike(self, page_id: str) -> Mapping[str, Reason]:
        """Return the published and kept pages with this page's text, and how they are alike."""
        others: set[str] = set()
        for band in self._bands.get(page_id, ()):
            others.update(self._published_by_band.get(band, ()), self._kept_by_band[band])
        others.discard(page_id)
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
        if not shared:  # the other has a better reading by now, and is no longer like this one
            return None
        one, two = self._sketches[page_id], self._sketches[other]
        return Reason.NEAR_TEXT if duplicates.similarity(one, two) >= self._least else None
