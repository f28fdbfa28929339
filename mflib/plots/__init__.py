"""Pictures of the lecture: matrices with their gaps, curves, tangents. Every function returns its Figure.

Never imported by `mflib` itself: computing needs no matplotlib. A notebook calls `use_style()` once and ends
the cell of a picture with `plt.show()`.
"""

from mflib.plots.descent import agreement, learning_rates, line_searches, tangent, walks
from mflib.plots.grid import Panel, matrices, matrix
from mflib.plots.heat import heat_map
from mflib.plots.lines import curves
from mflib.plots.model import held_out, parts_of_sum
from mflib.plots.ratings import bars, item_map, ratings_overview
from mflib.plots.runs import histories
from mflib.plots.speed import instructions, roofline, times
from mflib.plots.style import (
    BLUE,
    COLORS,
    GREEN,
    GREY,
    INK,
    ORANGE,
    PALE,
    PINK,
    SKY,
    STYLE,
    VERMILION,
    use_style,
)

__all__ = [
    "BLUE",
    "COLORS",
    "GREEN",
    "GREY",
    "INK",
    "ORANGE",
    "PALE",
    "PINK",
    "SKY",
    "STYLE",
    "VERMILION",
    "Panel",
    "agreement",
    "bars",
    "curves",
    "heat_map",
    "held_out",
    "histories",
    "instructions",
    "item_map",
    "learning_rates",
    "line_searches",
    "matrices",
    "matrix",
    "parts_of_sum",
    "ratings_overview",
    "roofline",
    "tangent",
    "times",
    "use_style",
    "walks",
]
