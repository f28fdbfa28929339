"""What `models` has measured: which setting counts, in words, in Markdown, as a picture. README shows it."""

import statistics

import curves
import matplotlib.pyplot as plt
from matplotlib.ticker import LogLocator, NullFormatter

from mflib.plots.style import BLUE, GREEN, GREY, ORANGE, PINK, VERMILION, use_style

LOOKS = {
    "mflib": (BLUE, "o-"),
    "cmfrec": (GREEN, "s-"),
    "LIBMF": (ORANGE, "D-"),
    "Surprise SVD": (VERMILION, "^-"),
    "Surprise SVD++": (PINK, "v-"),
}
# SVD++ has one setting and one fold and is no measure of the others.
PEERS = ("cmfrec", "LIBMF", "Surprise SVD")
REAL, MIDDLE, BIG = "ml-latest-small", "1e6", "2.5e7"
# Test RMSE, in rating points, to which the table shows the seconds.
TARGETS = {REAL: (0.88, 0.87, 0.86, 0.855, 0.85), MIDDLE: (0.8, 0.6, 0.55), BIG: (0.8, 0.6, 0.55)}


def setting_of(entry):
    """A line of the grid without its steps."""
    return {name: value for name, value in entry.items() if name != "steps"}


def rounded(point):
    """A point of a curve, with as many digits as mean something."""
    return {name: value if name == "step" else float(f"{value:.6g}") for name, value in point.items()}


def by_setting(measured, size, name):
    """Pairs of a setting of a contender and its curve over folds and repeats, as they were measured."""
    found = []
    for turn in measured["turns"]:
        if (turn["size"], turn["name"]) != (size, name):
            continue
        for setting, of_turns in found:
            if setting == turn["setting"]:
                of_turns.append(turn["curve"])
                break
        else:
            found.append((turn["setting"], [turn["curve"]]))
    return [(setting, curves.over_folds(of_turns)) for setting, of_turns in found]


def chosen(measured, size, name):
    """The setting whose curve has the lowest mean test RMSE, or None."""
    found = by_setting(measured, size, name)
    return min(found, key=lambda pair: curves.best(pair[1])["rmse"])[0] if found else None


def best_curve(measured, size, name):
    """The curve of the setting that counts, or None."""
    setting = chosen(measured, size, name)
    return next((curve for one, curve in by_setting(measured, size, name) if one == setting), None)


def best_point(measured, size, name):
    """The best point of the setting that counts, or None."""
    curve = best_curve(measured, size, name)
    return curve and curves.best(curve)


def least_seconds(measured, size, name, target):
    """Seconds to a test RMSE in the setting that is quickest to it, or None."""
    return curves.least_seconds_to([curve for _, curve in by_setting(measured, size, name)], target)


def fastest_peer(measured, size):
    """The peer that takes least time to its own best test RMSE, or None."""
    found = {peer: best_point(measured, size, peer) for peer in PEERS}
    return min((peer for peer in PEERS if found[peer]), key=lambda peer: found[peer]["seconds"], default=None)


def time_ratio(measured, size, peer):
    """Seconds of mflib to the best test RMSE of a peer, over those of the peer; infinite for never."""
    if peer is None or not by_setting(measured, size, "mflib") or not by_setting(measured, size, peer):
        return None
    target = best_point(measured, size, peer)["rmse"]
    ours = least_seconds(measured, size, "mflib", target)
    return float("inf") if ours is None else ours / least_seconds(measured, size, peer, target)


def goals(measured):
    """Each goal as (what, limit in words, value or None, whether met or None)."""
    ours, fastest = best_point(measured, REAL, "mflib"), fastest_peer(measured, REAL)
    peers = [point["rmse"] for peer in PEERS if (point := best_point(measured, REAL, peer))]
    loop = measured.get("lecture", {}).get("speed_up")
    best_peer = min(peers, default=None)
    found = [
        (f"mean test RMSE, {REAL}", "≤", 0.850, ours and ours["rmse"]),
        (
            f"the same less that of the best peer, {REAL}",
            "<",
            0,
            ours and best_peer and ours["rmse"] - best_peer,
        ),
        (
            f"time to the RMSE of the fastest peer ({fastest or 'none'}), over its time, {REAL}",
            *("≤", 1, time_ratio(measured, REAL, fastest)),
        ),
        (
            f"time to the RMSE of Surprise SVD, over its time, {REAL}",
            *("≤", 0.1, time_ratio(measured, REAL, "Surprise SVD")),
        ),
        (
            f"time to the RMSE of LIBMF, over its time, {BIG}",
            *("≤", 0.7, time_ratio(measured, BIG, "LIBMF")),
        ),
        (f"time of the lecture's loop in NumPy + SciPy, over that of mflib, {REAL}", "≥", 20, loop),
    ]
    hold = {"≤": lambda x, y: x <= y, "<": lambda x, y: x < y, "≥": lambda x, y: x >= y}
    return [
        (what, f"{sign} {limit:g}", value, None if value is None else hold[sign](value, limit))
        for what, sign, limit, value in found
    ]


def setting_in_words(setting):
    """A setting in one line."""
    return ", ".join(f"{name.strip('_')} {value}" for name, value in setting.items() if name != "own_rmse")


def turn_in_words(turn):
    """A line of the terminal: the best point of a curve."""
    point = curves.best(turn["curve"])
    return (
        f"{turn['size']:>15} fold {turn['fold']} {turn['name']:<14} {setting_in_words(turn['setting'])}: "
        f"{point['rmse']:.4f} after {point['step']} in {point['seconds']:.2f} s "
        f"({point['cpu_seconds']:.2f} s of CPU), load {turn['load']}"
    )


def sizes(measured):
    """The sizes that were measured."""
    return [size for size in (REAL, MIDDLE, BIG) if any(turn["size"] == size for turn in measured["turns"])]


def report(measured):
    """All settings and the goals, for a terminal."""
    lines = []
    for size in sizes(measured):
        lines += ["", size]
        for name in LOOKS:
            for setting, curve in by_setting(measured, size, name):
                point = curves.best(curve)
                lines.append(
                    f"  {name:<14} {point['rmse']:.4f} after {point['step']:>3} in {point['seconds']:7.2f} s"
                    f"  {setting_in_words(setting)}"
                )
    lines.append("")
    for what, limit, value, met in goals(measured):
        said = "not measured" if value is None else f"{value:.4g}: {'met' if met else 'NOT MET'}"
        lines.append(f"{what:<88} {limit:>7}   {said}")
    return "\n".join([*lines, *measured["left_out"]])


def table(measured):
    """Markdown for README: who gets where in what time, then the goals."""
    about = measured["machine"]
    loads = [turn["load"] for turn in measured["turns"]]
    lines = [
        f"Measured by `make bench-models` on {measured['threads']} threads of an {about['cpu']} "
        f"(load {min(loads):g} to {max(loads):g}, median {statistics.median(loads):g}), Surprise "
        f"{about['scikit-surprise']}, cmfrec {about['cmfrec']}."
    ]
    for size in sizes(measured):
        targets = TARGETS[size]
        lines += ["", heading(measured, size), ""]
        head = [
            "",
            "setting",
            "best test RMSE",
            "after",
            "seconds",
            *(f"to {target:g}" for target in targets),
        ]
        lines += ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
        for name in LOOKS:
            if (point := best_point(measured, size, name)) is None:
                continue
            to = [least_seconds(measured, size, name, target) for target in targets]
            cells = [
                *(name, setting_in_words(chosen(measured, size, name)), f"{point['rmse']:.4f}"),
                *(str(point["step"]), short(point["seconds"]), *map(short, to)),
            ]
            lines.append("| " + " | ".join(cells) + " |")
    lines += ["", "| goal | limit | measured | |", "|---|---|---|---|"]
    for what, limit, value, met in goals(measured):
        said = "–" if value is None else f"{value:.4g}"
        lines.append(
            f"| {what} | {limit} | {said} | {'' if value is None else 'met' if met else '**not met**'} |"
        )
    if measured["left_out"]:
        lines += ["", "Left out:", "", *(f"- {line}" for line in measured["left_out"])]
    return "\n".join(lines)


def heading(measured, size):
    """What a table is of."""
    folds = {turn["fold"] for turn in measured["turns"] if turn["size"] == size}
    what = size if size == REAL else f"{size} planted ratings"
    return f"{what}, {f'mean over {len(folds)} folds' if len(folds) > 1 else 'one split'}:"


def short(seconds):
    """Three digits; a dash for never."""
    return "–" if seconds is None else f"{seconds:,.0f}" if seconds >= 100 else f"{seconds:.3g}"


def picture(measured, path):
    """Test RMSE against seconds of training, size by size, each contender in the setting that counts."""
    use_style()
    shown = sizes(measured)
    figure, all_axes = plt.subplots(1, len(shown), figsize=(4.4 * len(shown), 4), squeeze=False)
    for axes, size in zip(all_axes[0], shown, strict=True):
        lowest, highest = [], []
        for name, (color, look) in LOOKS.items():
            for setting, curve in by_setting(measured, size, name):
                counts = setting == chosen(measured, size, name)
                style = (
                    {"label": name, "zorder": 3}
                    if counts
                    else {"alpha": 0.3, "linewidth": 1, "markersize": 2}
                )
                x, y = ([point[key] for point in curve] for key in ("seconds", "rmse"))
                axes.plot(x, y, look, color=color, **style)
                if counts:
                    lowest.append(min(y))
                    highest.append(statistics.median(y))
        room = max(highest) - min(lowest)
        axes.axhline(min(lowest), color=GREY, linewidth=1)
        axes.set(xscale="log", xlabel="seconds of training", title=heading(measured, size).rstrip(":"))
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 3)))
        axes.xaxis.set_major_formatter("{x:g}")
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.set_ylim(min(lowest) - 0.1 * room, max(highest) + room)
    all_axes[0][0].set_ylabel("test RMSE")
    handles = {
        label: line
        for axes in all_axes[0]
        for line, label in zip(*axes.get_legend_handles_labels(), strict=True)
    }
    figure.legend(handles.values(), handles, loc="outside upper center", ncols=len(handles))
    figure.savefig(path, dpi=110, metadata={"Software": None})
    plt.close(figure)
