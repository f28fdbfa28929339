"""The look of every picture: colours and matplotlib's settings."""

import matplotlib.pyplot as plt

# Okabe and Ito's colours: told apart by colour-blind readers too.
BLUE, ORANGE, GREEN, PINK, SKY, VERMILION = "#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00"
COLORS = (BLUE, VERMILION, GREEN, ORANGE, PINK, SKY)
INK, GREY, PALE = "#222222", "#767676", "#F2F2F2"

STYLE = {
    "figure.figsize": (7, 3.6),
    "figure.dpi": 90,
    "figure.constrained_layout.use": True,
    "font.size": 10,
    "text.color": INK,
    "axes.titlesize": 11,
    "axes.titlelocation": "left",
    "axes.titlepad": 10,
    "axes.labelcolor": INK,
    "axes.edgecolor": GREY,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.prop_cycle": plt.cycler(color=COLORS),
    "grid.color": "#E3E3E3",
    "grid.linewidth": 0.7,
    "xtick.color": GREY,
    "ytick.color": GREY,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "lines.linewidth": 1.8,
    "lines.markersize": 4.5,
    "legend.frameon": False,
}


def use_style() -> None:
    """Give every picture drawn from now on the look of mflib."""
    plt.rcParams.update(STYLE)
