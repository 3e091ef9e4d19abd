"""How far a text or a picture stands out from what is behind it, and two colours from each other, to people's eyes."""

from __future__ import annotations

import math
from collections.abc import Sequence

# How those see colours who lack one kind of cones: Viénot, Brettel and Mollon, 1999. In linear light.
SIGHTS: dict[str, Sequence[Sequence[float]]] = {
    "all cones": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    "no cones for red": ((0.11238, 0.88762, 0), (0.11238, 0.88762, 0), (0.00401, -0.00401, 1)),
    "no cones for green": ((0.29275, 0.70725, 0), (0.29275, 0.70725, 0), (-0.02234, 0.02234, 1)),
}
TO_XYZ = ((0.4124, 0.3576, 0.1805), (0.2126, 0.7152, 0.0722), (0.0193, 0.1192, 0.9505))
WHITE = (0.9505, 1.0, 1.089)


def contrast(one: str, other: str) -> float:
    """WCAG's, of #rgb or #rrggbb: from 1 to 21."""
    bright, dark = sorted([_luminance(one), _luminance(other)], reverse=True)
    return (bright + 0.05) / (dark + 0.05)


def difference(one: str, other: str, sight: str = "all cones") -> float:
    """The distance in CIE L*a*b*. Some 2 are just seen; black and white are 100 apart."""
    return math.dist(_lab(_times(SIGHTS[sight], _linear(one))), _lab(_times(SIGHTS[sight], _linear(other))))


def _luminance(colour: str) -> float:
    return sum(weight * part for weight, part in zip(TO_XYZ[1], _linear(colour), strict=True))


def _linear(colour: str) -> list[float]:
    digits = colour.removeprefix("#")
    digits = digits if len(digits) == 6 else "".join(2 * digit for digit in digits)
    parts = [int(digits[at : at + 2], 16) / 255 for at in (0, 2, 4)]
    return [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]


def _lab(light: Sequence[float]) -> tuple[float, float, float]:
    shares = [part / white for part, white in zip(_times(TO_XYZ, light), WHITE, strict=True)]
    x, y, z = (math.cbrt(share) if share > 0.008856 else 7.787 * share + 16 / 116 for share in shares)
    return 116 * y - 16, 500 * (x - y), 200 * (y - z)


def _times(matrix: Sequence[Sequence[float]], vector: Sequence[float]) -> list[float]:
    return [sum(a * b for a, b in zip(row, vector, strict=True)) for row in matrix]
