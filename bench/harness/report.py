"""From measured rounds to figures, ratios, tables and the result file."""
import datetime
import json
import os
import platform
import statistics
import subprocess

FIGURES = ("cpu_us", "user_us", "sys_us", "requests_per_second", "p50_us", "p99_us", "core_busy", "core_others")


def spread(values):
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def summarise(rounds, latency=False):
    """rounds: {proxy: [round, ...]} -> figures per proxy and the ratios of scoregate's CPU, taken within each round;
    with `latency` that of p99, too."""
    figures = {name: {figure: spread([r[figure] for r in runs]) for figure in FIGURES} for name, runs in rounds.items()}
    peers = [name for name in rounds if name != "scoregate"]
    ratios = {}
    if "scoregate" in rounds and peers:
        def against(peer, figure):
            pairs = zip(rounds["scoregate"], rounds[peer])
            return {"peer": peer} | spread([ours[figure] / theirs[figure] for ours, theirs in pairs])

        def cheaper(figure):
            return against(min(peers, key=lambda peer: figures[peer][figure]["median"]), figure)

        ratios = {f"scoregate/{peer}": against(peer, "cpu_us") for peer in peers}
        ratios["scoregate/cheaper"] = cheaper("cpu_us")
        ratios["scoregate/cheaper, user"] = cheaper("user_us")
        if latency:
            ratios["scoregate/cheaper, p99"] = cheaper("p99_us")
    return {"figures": figures, "ratios": ratios}


def table(head, lines):
    """A Markdown table whose columns also line up in a terminal."""
    widths = [max(len(line[i]) for line in [head, *lines]) for i in range(len(head))]

    def row(cells):
        return "| " + " | ".join(cell.ljust(width) for cell, width in zip(cells, widths)) + " |"
    return "\n".join([row(head), row(["-" * width for width in widths]), *map(row, lines)])


def describe(row, rounds, summary):
    lines = []
    for name, figures in summary["figures"].items():
        def median(figure):
            return figures[figure]["median"]
        cpu = figures["cpu_us"]
        lines.append([
            name, f"{cpu['median']:.1f}", f"{cpu['min']:.1f}-{cpu['max']:.1f}",
            f"{median('user_us'):.1f} + {median('sys_us'):.1f}", f"{median('requests_per_second'):,.0f}",
            f"{median('p50_us'):,.0f}", f"{median('p99_us'):,.0f}", f"{median('core_busy') * 100:.0f} %",
            f"{median('core_others') * 100:.0f} %",
            f"{rounds[name][-1]['pss_bytes'] / 2**20:.1f}"])
    text = f"\n### {row.name}: {row.what}; {row.connections} connections\n\n" + table(
        ["proxy", "CPU us/request", "min-max", "user + sys", "requests/s", "p50 us", "p99 us", "core busy", "others",
         "PSS MiB"], lines)
    if summary["ratios"]:
        text += "\n\n" + table(["ratio of CPU per request", "median", "min-max"],
                               [[f"{name} ({r['peer']})" if "cheaper" in name else name, f"{r['median']:.2f}",
                                 f"{r['min']:.2f}-{r['max']:.2f}"] for name, r in summary["ratios"].items()])
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
    return (git("rev-parse", "--short", "HEAD") or "uncommitted") + ("-dirty" if git("status", "--porcelain") else "")


def write(root, result):
    """bench/results/<date>-<commit>.json; returns its path."""
    now = datetime.datetime.now(datetime.timezone.utc)
    result = {"date": now.strftime("%Y-%m-%dT%H:%M:%SZ"), "commit": commit(root), "machine": machine()} | result
    path = root / "bench" / "results" / f"{now.strftime('%Y%m%d-%H%M')}-{result['commit']}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(result, indent=1) + "\n")
    return path
