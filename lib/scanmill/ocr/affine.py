"""Says where a point of a changed picture was before it was changed."""

import itertools
import math
from typing import NamedTuple

from scanmill.models import Box, Raster


class Affine(NamedTuple):
    """The point (x, y) of a changed picture lies at (ax+by+c, dx+ey+f) of the one before."""

    a: float = 1.0
    b: float = 0.0
    c: float = 0.0
    d: float = 0.0
    e: float = 1.0
    f: float = 0.0

    @classmethod
    def of_rotation(cls, degrees: float, size: tuple[int, int]) -> "Affine":
        """Return the way back from `Image.rotate`, which turns about the middle, keeping a size."""
        turn = -math.radians(degrees)
        cosine, sine = math.cos(turn), math.sin(turn)
        x, y = size[0] / 2, size[1] / 2
        return cls(
            cosine, sine, x - cosine * x - sine * y, -sine, cosine, y + sine * x - cosine * y
        )

    def at(self, x: float, y: float) -> tuple[float, float]:
        """Return where a point was."""
        return self.a * x + self.b * y + self.c, self.d * x + self.e * y + self.f

    def then(self, other: "Affine") -> "Affine":
        """Return the map that does this one and then the other."""
        c, f = other.at(self.c, self.f)
        return Affine(
            other.a * self.a + other.b * self.d,
            other.a * self.b + other.b * self.e,
            c,
            other.d * self.a + other.e * self.d,
            other.d * self.b + other.e * self.e,
            f,
        )

    def box_around(self, box: Box, page: Raster) -> Box:
        """Return the upright box, in whole pixels of a page, around where a box was on it."""
        left, top, right, bottom = box
        corners = [self.at(x, y) for x, y in itertools.product((left, right), (top, bottom))]
        across = [min(max(x, 0), page.width_px) for x, _ in corners]
        down = [min(max(y, 0), page.height_px) for _, y in corners]
        return (
            math.floor(min(across)),
            math.floor(min(down)),
            math.ceil(max(across)),
            math.ceil(max(down)),
        )


UNCHANGED = Affine()
