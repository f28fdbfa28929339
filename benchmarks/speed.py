"""What `evaluation` has measured, in words, in Markdown and as a picture. README is made from it too."""

import statistics

import matplotlib.pyplot as plt

from mflib.plots.style import BLUE, COLORS, GREEN, GREY, ORANGE, PINK, SKY, VERMILION, use_style

LOOKS = {
    "mflib": (BLUE, "o-"),
    "mflib, 1 thread": (SKY, "o--"),
    "C reference": (GREEN, "s-"),
    "torch sampled_addmm": (ORANGE, "D-"),
    "NumPy + SciPy": (VERMILION, "^-"),
    "torch autograd": (PINK, "v-"),
}
PEERS = ("C reference", "torch sampled_addmm", "NumPy + SciPy", "torch autograd")
PLANTED = ("1e5", "1e6", "1e7", "2.5e7")
# Goals: of the times of two, at this size; True: at least, False: at most.
PEER_GOALS = [
    ("C reference", "1e6", 1.5, False),
    ("C reference", "2.5e7", 1.5, False),
    ("torch sampled_addmm", "1e6", 1.3, True),
    ("torch sampled_addmm", "2.5e7", 4, True),
    ("NumPy + SciPy", "1e6", 8, True),
    ("NumPy + SciPy", "2.5e7", 8, True),
    ("torch autograd", "1e6", 25, True),
]


def goals(measured):
    """Each goal as (what, limit, value or None, whether met or None)."""
    found = []
    for peer, size, limit, at_least in PEER_GOALS:
        value = ratio(case_of(measured, size), peer)
        value = value and (value[0] if at_least else 1 / value[0])
        what = f"time of {peer} / mflib" if at_least else f"time of mflib / {peer}"
        found.append((f"{what}, {size}", limit, value, at_least))
    big, middle = (per_rating(case_of(measured, size)) for size in ("2.5e7", "1e6"))
    found.append(("time per rating, 2.5e7 / 1e6", 3, big and middle and big / middle, False))
    for size in ("1e6", "2.5e7"):
        base = per_rating(case_of(measured, size))
        for what, limit, case in (
            ("k = 33 / k = 32", 1.5, case_of(measured, size, k=33)),
            ("float64 / float32", 2.2, case_of(measured, size, dtype="float64")),
        ):
            other = per_rating(case)
            found.append((f"{what}, {size}", limit, base and other and other / base, False))
    call = per_rating(case_of(measured, "100"))
    found.append(("µs a call on 100 ratings", 100, call and call * 100 / 1000, False))
    return [
        (what, f"{'≥' if at_least else '≤'} {limit}", value, value and (value >= limit) == at_least)
        for what, limit, value, at_least in found
    ]


def case_of(measured, size, k=32, dtype="float32"):
    """The case, or None."""
    wanted = {"size": size, "k": k, "dtype": dtype}
    return next((case for case in measured["cases"] if wanted.items() <= case.items()), None)


def per_rating(case, name="mflib"):
    """Median nanoseconds a rating, or None."""
    if case is None or name not in case["seconds"]:
        return None
    return 1e9 * statistics.median(case["seconds"][name]) / case["n_ratings"]


def short(number):
    """Three digits, and no powers of ten."""
    return f"{number:,.0f}" if number >= 100 else f"{number:.3g}"


def ratio(case, name):
    """Time of a contender over that of mflib: of the medians, then the quartiles over rounds; or None."""
    if per_rating(case) is None or per_rating(case, name) is None:
        return None
    rounds = [x / y for x, y in zip(case["seconds"][name], case["seconds"]["mflib"], strict=True)]
    low, _, high = statistics.quantiles(rounds, n=4, method="inclusive") if len(rounds) > 1 else 3 * rounds
    return per_rating(case, name) / per_rating(case), low, high


def floor(measured, case):
    """The least nanoseconds that a rating can cost: what must come from memory, as fast as a copy.

    In both orders an index and a value of each rating; of the factors and the gradients each number once.
    """
    size = 4 if case["dtype"] == "float32" else 8
    rows = 2 * (case["n_users"] + case["n_items"]) * case["k"] * size
    passing = 2 * (4 + size) + rows / case["n_ratings"]
    return 1e9 * passing / statistics.median(measured["bandwidth"])


def case_in_words(case):
    """One line: times per rating, ratios with quartiles, and who is left out."""
    head = f"{case['size']:>14} k = {case['k']:<3} {case['dtype']}:"
    parts = []
    for name in case["seconds"]:
        text, compared = f"{name} {short(per_rating(case, name))} ns", ratio(case, name)
        if name != "mflib" and compared:
            text += " (× {:.2f}, {:.2f} to {:.2f})".format(*compared)
        parts.append(text)
    rounds = max((len(times) for times in case["seconds"].values()), default=0)
    left = [f"without {name}: {why}" for name, why in case["left_out"].items()]
    return f"{head} {', '.join(parts)}; {rounds} rounds" + "".join(f"\n{'':>17}{line}" for line in left)


def report(measured):
    """Bandwidth and goals, for a terminal."""
    lines = (
        [f"\na copy: {statistics.median(measured['bandwidth']) / 1e9:.1f} GB/s"]
        if measured["bandwidth"]
        else []
    )
    for what, limit, value, met in goals(measured):
        said = "not measured" if value is None else f"{value:.2f}: {'met' if met else 'NOT MET'}"
        lines.append(f"{what:<52} {limit:>6}   {said}")
    return "\n".join([*lines, *measured["left_out"]])


def table(measured):
    """Markdown for README: who takes how long at k = 32 in float32, then the goals."""
    about = measured["machine"]
    lines = [
        f"Measured by `make bench` on {about['cores']} cores of an {about['cpu']} (load {about['load']}), "
        f"memory {statistics.median(measured['bandwidth']) / 1e9:.0f} GB/s by a copy, PyTorch "
        f"{about['torch']}, {about['compiler']}.",
        "",
        "Nanoseconds a rating at k = 32 in float32; in brackets the time over that of mflib, its quartiles "
        "over rounds:",
        "",
        "| | " + " | ".join(f"N = {size}" for size in PLANTED) + " |",
        "|---" * (1 + len(PLANTED)) + "|",
    ]
    for name in LOOKS:
        cells = []
        for size in PLANTED:
            case = case_of(measured, size)
            compared = ratio(case, name)
            cells.append("–" if compared is None else short(per_rating(case, name)))
            if compared and name != "mflib":
                cells[-1] += " ({:.2f}; {:.2f}–{:.2f})".format(*compared)
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    lines += ["", "| goal | limit | measured | |", "|---|---|---|---|"]
    for what, limit, value, met in goals(measured):
        said = "–" if value is None else f"{value:.2f}"
        word = "" if value is None else "met" if met else "**not met**"
        lines.append(f"| {what} | {limit} | {said} | {word} |")
    return "\n".join(lines)


def picture(measured, path):
    """Time against N and k, speed-up over peers, distance to the C reference and to the memory."""
    use_style()
    least = lambda case: floor(measured, case)  # noqa: E731
    over_least = lambda case: (took := per_rating(case)) and took / least(case)  # noqa: E731
    over_reference = lambda case: (found := ratio(case, "C reference")) and 1 / found[0]  # noqa: E731
    figure, ((by_size, by_k), (speedup, distance)) = plt.subplots(2, 2, figsize=(11, 7.2))
    cases = [case for size in PLANTED if (case := case_of(measured, size))]
    by_factors = sorted(
        (case for case in measured["cases"] if (case["size"], case["dtype"]) == ("1e6", "float32")),
        key=lambda case: case["k"],
    )
    for axes, these, key in ((by_size, cases, "n_ratings"), (by_k, by_factors, "k")):
        for name, (color, look) in LOOKS.items():
            draw(
                axes,
                these,
                key,
                lambda case, name=name: per_rating(case, name),
                look,
                color=color,
                label=name,
            )
        if measured["bandwidth"]:
            draw(
                axes,
                these,
                key,
                lambda case: floor(measured, case),
                ":",
                color=GREY,
                label="least, by memory",
            )
        axes.set(xscale="log", yscale="log", ylabel="ns a rating")
    by_size.set(title="Time against N (k = 32, float32)", xlabel="ratings N")
    by_k.set(title="Time against k (N = 10⁶, float32)", xlabel="factors k")
    by_k.set_xticks([8, 16, 32, 64, 128], ["8", "16", "32", "64", "128"])
    by_k.set_xticks([], minor=True)

    for name in PEERS[1:]:
        color, look = LOOKS[name]
        points = [(case["n_ratings"], *found) for case in cases if (found := ratio(case, name))]
        if points:
            x, middle, low, high = zip(*points, strict=True)
            speedup.plot(x, middle, look, color=color)
            speedup.fill_between(x, low, high, color=color, alpha=0.2, linewidth=0)
    speedup.axhline(1, color=GREY, linewidth=1)
    speedup.set(xscale="log", yscale="log", title="Speed-up over peers, quartiles shaded", xlabel="ratings N")
    speedup.set(ylabel="time of peer / mflib")

    for k, color in zip((8, 32, 33, 128), COLORS, strict=False):
        these = [case for size in PLANTED if (case := case_of(measured, size, k))]
        draw(distance, these, "n_ratings", over_reference, "s-", color=color, label=f"C reference, k = {k}")
    if measured["bandwidth"]:
        draw(distance, cases, "n_ratings", over_least, ":", color=GREY, label="least by memory, k = 32")
    distance.axhline(1, color=GREY, linewidth=1)
    distance.set(xscale="log", yscale="log", title="Distance of mflib (float32)", xlabel="ratings N")
    distance.set(ylabel="time of mflib / …")
    ticks = [0.5, 1, 1.5, 2, 3, 5, 10]
    distance.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
    distance.set_yticks([], minor=True)
    distance.legend(fontsize=8, loc="upper left", bbox_to_anchor=(1, 1))
    handles, labels = by_size.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=4)
    figure.savefig(path, dpi=110, metadata={"Software": None})
    plt.close(figure)


def draw(axes, cases, key, value, look, **style):
    """A line through the cases where there is a value."""
    points = [(case[key], y) for case in cases if (y := value(case)) is not None]
    if points:
        axes.plot(*zip(*points, strict=True), look, **style)
