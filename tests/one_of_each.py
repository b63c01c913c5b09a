"""One upload of each kind: what the pipeline makes of them takes each of its ways."""

from drivers import drop
from engines.scripted import blank, picture, prose, volume

BATCH = "c-000001"
GOOD, COPY, TORN, BLANK, BOUND = (
    f"c/x/{name}" for name in ("good.png", "other name.png", "torn.png", "blank.png", "bound.tif")
)


def drop_one_of_each(mill):
    """Upload a page to publish, its copy, what cannot be read, a blank page, and two in one."""
    drop(mill, GOOD, picture(prose(1)))
    drop(mill, COPY, picture(prose(1)))
    drop(mill, TORN, picture(prose(2))[:100])
    drop(mill, BLANK, blank())
    drop(mill, BOUND, volume(prose(3), prose(4)))
