"""What `cluster` has measured, and what follows of it: in words, in Markdown, as a picture."""

import statistics

import cluster_model as model
import matplotlib.pyplot as plt
from speed import short

from mflib.plots.style import BLUE, COLORS, GREEN, GREY, ORANGE, VERMILION, use_style

BIG = "2.5e7"
PLAIN = ("plain", "momentum")
RULES = (*PLAIN, "conjugate", "alternating")
FACTORS = (16, 128)
FORMS = {
    "as it is": model.Form(),
    "float16 on the way": model.Form(size=2),
    "V in parts": model.Form(in_parts=True),
    "V in parts, float16": model.Form(size=2, in_parts=True),
}


def compared(measured, size):
    """The cases of a size that both sides were measured in, by rule."""
    return {case["rule"]: case for case in measured["cases"] if case["size"] == size and case["one"]}


def growth(measured, size):
    """The cases of a size that tell how the time grows with the blocks."""
    return [case for case in measured["cases"] if case["size"] == size and not case["one"]]


def sizes_of(measured):
    """The sizes at which one process was measured too."""
    return list(dict.fromkeys(case["size"] for case in measured["cases"] if case["one"]))


def more_workers(measured):
    """The cases that tell how the time grows with the workers."""
    return [case for case in measured["cases"] if case["size"] not in sizes_of(measured)]


def speed(case):
    """Speed of the workers over that of the one process: of the medians, least and most of a round."""
    rounds = [one / two for one, two in zip(case["one"], case["two"], strict=True)]
    return statistics.median(case["one"]) / statistics.median(case["two"]), min(rounds), max(rounds)


def moved(case):
    """Bytes an iteration over m k (bytes of a number) (workers + blocks)."""
    return statistics.median(case["moved"]) / (case["V_bytes"] * (case["workers"] + case["n_blocks"]))


def memory(case):
    """The most that a worker held over 1.3 times its blocks and three copies of V."""
    return max(case["memory"]) / (1.3 * case["blocks_bytes"] + 3 * case["V_bytes"])


def goals(measured):
    """Each goal as (what, limit in words, value or None, whether met or None)."""
    found = []
    cases = compared(measured, BIG)
    for rule in RULES:
        case = cases.get(rule)
        found.append(
            (f"speed of two workers over one process with two threads, {rule}", 0.7, case and speed(case)[0])
        )
        if rule in PLAIN:  # the others send more than V and ∂V
            found.append(
                (
                    f"bytes an iteration over m k s (workers + blocks), {rule}",
                    1.1,
                    case and moved(case),
                )
            )
        found.append((f"memory of a worker over 1.3 blocks + 3 V, {rule}", 1, case and memory(case)))
    return [
        (f"{what}, {BIG}", f"{'≥' if limit == 0.7 else '≤'} {limit}", value,
         None if value is None else value >= limit if limit == 0.7 else value <= limit)
        for what, limit, value in found
    ]  # fmt: skip


def megabytes(number):
    return short(number / 1e6)


def milliseconds(times):
    return short(1000 * statistics.median(times))


def case_in_words(case):
    """One line."""
    text = f"{case['size']:>6} {case['rule']:<12} {case['n_blocks']:>2} blocks: "
    if case["one"]:
        text += f"one process {milliseconds(case['one'])} ms, "
    text += f"{case['workers']} workers {milliseconds(case['two'])} ms an iteration"
    if case["one"]:
        text += " (speed {:.2f}, {:.2f} to {:.2f})".format(*speed(case))
    text += f", {megabytes(statistics.median(case['moved']))} MB moved"
    return (
        f"{text}, {megabytes(max(case['memory']))} MB a worker, blocks {megabytes(case['blocks_bytes'])} MB"
    )


def report(measured):
    """Goals, for a terminal."""
    lines = [""]
    for what, limit, value, met in goals(measured):
        said = "not measured" if value is None else f"{value:.3g}: {'met' if met else 'NOT MET'}"
        lines.append(f"{what:<80} {limit:>6}   {said}")
    return "\n".join(lines)


def table_of_figures(measured):
    """Markdown: what was measured."""
    about = measured["machine"]
    loads = [load for case in measured["cases"] for load in case["load"]]
    lines = [
        f"Measured by `make bench-cluster` on {about['cores']} cores of an {about['cpu']}, "
        f"k = {measured['k']}, {measured['dtype']};\n"
        f"load of the machine while it was measured {min(loads)} to {max(loads)}.",
        "",
        "Milliseconds an iteration, medians; in brackets the least and most speed of a round:",
        "",
        "| N | rule | blocks | one process | two workers | speed | MB moved | MB a worker | of blocks |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    sizes = sizes_of(measured)
    for size in sizes:
        for rule, case in compared(measured, size).items():
            lines.append(
                f"| {size} | {rule} | {case['n_blocks']} | {milliseconds(case['one'])} | "
                f"{milliseconds(case['two'])} | {'{:.2f} ({:.2f}–{:.2f})'.format(*speed(case))} | "
                f"{megabytes(statistics.median(case['moved']))} | {megabytes(max(case['memory']))} | "
                f"{megabytes(case['blocks_bytes'])} |"
            )
    lines += ["", "The plain rule on two workers, with the number of blocks:", ""]
    numbers = [case["n_blocks"] for case in growth(measured, sizes[0])]
    lines += ["| N | | " + " | ".join(map(str, numbers)) + " |", "|---" * (2 + len(numbers)) + "|"]
    for size in sizes:
        cases = growth(measured, size)
        for what, value in (
            ("ms", lambda case: milliseconds(case["two"])),
            ("MB moved", lambda case: megabytes(statistics.median(case["moved"]))),
            ("MB a worker", lambda case: megabytes(max(case["memory"]))),
            ("of blocks", lambda case: megabytes(case["blocks_bytes"])),
        ):
            lines.append(f"| {size} | {what} | " + " | ".join(map(value, cases)) + " |")
    cases = more_workers(measured)
    lines += [
        "",
        f"The plain rule with {cases[0]['n_ratings']:,} ratings, with the number of workers, a block each; "
        "all share the cores:",
        "",
        "| workers | " + " | ".join(str(case["workers"]) for case in cases) + " |",
        "|---" * (1 + len(cases)) + "|",
        "| ms | " + " | ".join(milliseconds(case["two"]) for case in cases) + " |",
    ]
    lines += ["", "| goal | limit | measured | |", "|---|---|---|---|"]
    for what, limit, value, met in goals(measured):
        said = "–" if value is None else f"{value:.3g}"
        lines.append(
            f"| {what} | {limit} | {said} | {'' if value is None else 'met' if met else '**not met**'} |"
        )
    return "\n".join(lines)


def text_of_model(measured):
    """Markdown: the coefficients and what they were found from."""
    found = model.fit(measured)
    return "\n".join(
        [
            "| coefficient | of | value |",
            "|---|---|---|",
            f"| α | an iteration | {short(1e3 * found['α'])} ms |",
            f"| β | a worker | {short(1e3 * found['β'])} ms |",
            f"| γ | a rating and factor, on a thread | {short(1e9 * found['γ'])} ns |",
            f"| ε | a byte of ∂V, for each block of a worker | {short(1e9 * found['ε'])} ns |",
            f"| δ | a byte sent and received | {short(1e9 * found['δ'])} ns |",
            "",
            f"The fit is of {len(model.cases_of(measured))} cases; its largest error is "
            f"{100 * model.largest_error(measured, found):.0f} %. Assumed of each machine: "
            f"{model.THREADS} threads as fast as those measured, and a link of "
            f"{8 * model.LINK / 1e9:.0f} Gbit/s; {model.BLOCKS_A_WORKER} blocks a worker.",
        ]
    )


def table_of_plan(measured):
    """Markdown: seconds an iteration, what takes most of them, and what the remedies give."""
    found, lines = model.fit(measured), []
    for question, (n, m, _) in model.QUESTIONS.items():
        for k in FACTORS:
            lines += [
                f"**{question} ratings** of {n:,} users and {m:,} items, k = {k}; V has "
                f"{short(4e-9 * m * k)} GB. Seconds an iteration, and what takes most of them:",
                "",
                "| workers | " + " | ".join(f"{w:,}" for w in model.WORKERS) + " |",
                "|---" * (1 + len(model.WORKERS)) + "|",
            ]
            for name, form in FORMS.items():
                parts = [model.predicted(found, question, w, k, form) for w in model.WORKERS]
                cells = [f"{short(part.total)} ({part.limit})" for part in parts]
                lines.append(f"| {name} | " + " | ".join(cells) + " |")
            held = [f"{short(model.memory(question, w, k) / 1e9)}" for w in model.WORKERS]
            lines += ["| GB a worker | " + " | ".join(held) + " |", "", turn_in_words(found, question, k), ""]
    return "\n".join(lines[:-1])


def turn_in_words(found, question, k):
    """From how many workers on more of them no longer help much, in each form."""
    said = []
    for name, form in FORMS.items():
        turn = model.turning_point(found, question, k, form)
        if turn is None:
            said.append(f"{name}, with none up to {max(model.WORKERS):,}")
        else:
            limit = model.predicted(found, question, turn, k, form).limit
            said.append(f"{name}, from {turn:,} on ({limit})")
    return f"With how many workers computing is no longer what takes most: {'; '.join(said)}."


def picture(measured, path):
    """The measured times and the fit against the blocks; the time to come against the workers."""
    use_style()
    found = model.fit(measured)
    figure, (by_blocks, *plans) = plt.subplots(1, 1 + len(model.QUESTIONS), figsize=(13, 4.4))
    for size, color in zip(sizes_of(measured), COLORS, strict=False):
        cases = growth(measured, size)
        numbers = [case["n_blocks"] for case in cases]
        times = [1000 * statistics.median(case["two"]) for case in cases]
        by_blocks.plot(numbers, times, "o", color=color, label=f"N = {size}")
        fits = [1000 * model.fitted(measured, found, case) for case in cases]
        by_blocks.plot(numbers, fits, "-", color=color, label=f"N = {size}, the model")
    by_blocks.set(xscale="log", yscale="log", xlabel="blocks", ylabel="ms an iteration")
    by_blocks.set(title="Two workers, measured")
    by_blocks.set_xticks(numbers, [str(number) for number in numbers])
    by_blocks.set_xticks([], minor=True)
    by_blocks.legend(fontsize=8)
    k = FACTORS[0]
    for axes, question in zip(plans, model.QUESTIONS, strict=True):
        for (name, form), color in zip(FORMS.items(), (BLUE, ORANGE, GREEN, VERMILION), strict=True):
            times = [model.predicted(found, question, w, k, form).total for w in model.WORKERS]
            axes.plot(model.WORKERS, times, "o-", color=color, label=name)
        least = [model.predicted(found, question, w, k, model.Form()).compute for w in model.WORKERS]
        axes.plot(model.WORKERS, least, ":", color=GREY, label="computing alone")
        axes.set(xscale="log", yscale="log", xlabel="workers", ylabel="s an iteration")
        axes.set(title=f"{question} ratings, k = {k}, by the model")
    handles, labels = plans[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=5)
    figure.savefig(path, dpi=110, metadata={"Software": None})
    plt.close(figure)
