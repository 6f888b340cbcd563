"""From measured rounds to figures, ratios, tables and the result file."""
import datetime
import json
import math
import os
import platform
import statistics
import subprocess


def spread(values):
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def certain(values):
    """(least, most) between which the median of ever more such values is, with a certainty of 95 %, whatever their
    distribution: all but the outermost ones (the sign test). None of fewer than six: they cannot tell."""
    values, count = sorted(values), len(values)
    below, outermost = 0.0, 0
    while (below := below + math.comb(count, outermost) / 2 ** count) <= 0.025:
        outermost += 1
    return (values[outermost - 1], values[-outermost]) if outermost else None


def summarise(row, rounds):
    """rounds: {proxy: [turn, ...]} -> figures per proxy, and what scoregate's come to beside those of others: ratios, taken
    within each round. `scoregate/cheaper` is the one to the best of the others in that figure."""
    figures = {name: {figure: spread([one[figure] for one in runs]) for figure in row.figures} | row.together(runs)
               for name, runs in rounds.items()}
    others = [name for name in rounds if name != "scoregate"]
    ratios = {}
    if "scoregate" in rounds and others:
        for called, figure in row.compared.items():
            cheaper = min(others, key=lambda name: figures[name][figure]["median"])
            for other, whom in [(each, each) for each in others] + [(cheaper, "cheaper")]:
                of_turns = [ours[figure] / theirs[figure] for ours, theirs in zip(rounds["scoregate"], rounds[other])]
                ratios[f"scoregate/{whom}" + (f", {called}" if called else "")] = {"peer": other} | spread(of_turns) | {
                    "certain": certain(of_turns)}
    return {"figures": figures, "ratios": ratios}


def table(head, lines):
    """A Markdown table whose columns also line up in a terminal."""
    widths = [max(len(line[i]) for line in [head, *lines]) for i in range(len(head))]

    def row(cells):
        return "| " + " | ".join(cell.ljust(width) for cell, width in zip(cells, widths)) + " |"
    return "\n".join([row(head), row(["-" * width for width in widths]), *map(row, lines)])


def flat(figures):
    """{figure: median, figure_min: .., figure_max: ..}: what the templates of columns are formatted with."""
    found = {}
    for name, value in figures.items():
        if isinstance(value, dict):
            found |= {name: value["median"], f"{name}_min": value["min"], f"{name}_max": value["max"]}
        else:
            found[name] = value
    return found


def between(certain):
    return "-" if certain is None else f"{certain[0]:.2f}-{certain[1]:.2f}"


def describe(row, summary):
    lines = [[name, *(template.format_map(flat(figures)) for template in row.columns.values())]
             for name, figures in summary["figures"].items()]
    lines += [[name, *("-" for _ in row.columns)] for name in row.lacking]
    text = f"\n### {row.name}: {row.what}; {row.connections:,} connections\n\n" + table(["proxy", *row.columns], lines)
    text += "".join(f"\n\n{name}: {why}." for name, why in row.lacking.items())
    shown = [[name, ratio["peer"], f"{ratio['median']:.2f}", f"{ratio['min']:.2f}-{ratio['max']:.2f}", between(ratio["certain"])]
             for name, ratio in summary["ratios"].items() if name.startswith("scoregate/cheaper")]
    if shown:
        text += "\n\n" + table(["ratio", "to", "median", "min-max", "95 %"], shown)
    return text


def first_match(command, key):
    lines = subprocess.run(command, capture_output=True, text=True).stdout.splitlines()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(key)), "unknown")


def machine():
    """What the figures depend on; nothing that names the host."""
    return {"cpu": first_match(["lscpu"], "Model name"), "cores": os.cpu_count(),
            "kernel": ".".join(platform.release().split(".")[:2])}


def commit(root):
    def git(*arguments):
        done = subprocess.run(["git", "-C", root, *arguments], capture_output=True, text=True)
        return done.stdout.strip() if done.returncode == 0 else ""
    changed = git("status", "--porcelain", "--", root, f":(exclude){root}/bench/results")
    return (git("rev-parse", "--short", "HEAD") or "uncommitted") + ("-dirty" if changed else "")


def write(root, result, prefix=""):
    """bench/results/<prefix><date>-<commit>.json; returns its path."""
    now = datetime.datetime.now(datetime.timezone.utc)
    result = {"date": now.strftime("%Y-%m-%dT%H:%M:%SZ"), "commit": commit(root), "machine": machine()} | result
    path = root / "bench" / "results" / f"{prefix}{now.strftime('%Y%m%d-%H%M')}-{result['commit']}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(result, indent=1) + "\n")
    return path
