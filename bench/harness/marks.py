"""Whether the figures of a run are what they have to be: the bar and the goal of each row."""
from .report import between, table

UNRESOLVED = "not resolved"
MOST_OTHERS = 0.05  # of the proxy's core, for what is judged only if resolved
MOST_LATE = 0.5  # of a figure may be the load's own lateness


def judge(row, summary):
    """[{what, median, min, max, against, bar, bar_met, goal, goal_met}, ...]; of what was measured. Of a mark that is judged
    only if resolved also `certain` (report.py); where a limit lies within that, or where there were too few turns to tell, or
    something else ran on the core, or the load itself was late, the turns do not say on which side of it the figure is:
    `bar_met` or `goal_met` is "not resolved" then, which is neither."""
    found = []
    for mark in row.marks:
        measured = summary["ratios"].get(mark.key) or summary["figures"].get("scoregate", {}).get(mark.key)
        if not measured:
            continue
        certain = measured.get("certain")
        disturbed = others(summary) > MOST_OTHERS or too_late(mark, summary)

        def met(limit):
            if limit is None:
                return None
            if mark.if_resolved and (disturbed or certain is None or certain[0] <= limit <= certain[1]):
                return UNRESOLVED
            return measured["median"] >= limit if mark.at_least else measured["median"] <= limit
        found.append({"what": mark.what, "median": measured["median"], "min": measured["min"], "max": measured["max"],
                      "against": measured.get("peer"), "bar": mark.bar, "bar_met": met(mark.bar), "goal": mark.goal,
                      "goal_met": met(mark.goal)} | ({"certain": certain} if mark.if_resolved else {}))
    return found


def others(summary):
    """What else ran on the core of the proxy that had most of it; a median, as all figures."""
    shares = [figures.get(name, {"median": 0})["median"] for figures in summary["figures"].values()
              for name in ("others", "core_others")]
    return max(shares, default=0)


def too_late(mark, summary):
    """Whether what a proxy shows is the load's own lateness for the most part."""
    if not mark.late:
        return False
    late, beside = mark.late
    return any(figures[late]["median"] > MOST_LATE * figures[beside]["median"] for figures in summary["figures"].values())


def describe(judged):
    """judged: {row: what judge() returned}."""
    def held(limit, met):
        return "" if limit is None else f"{limit:.2f} " + (met if met == UNRESOLVED else "met" if met else "MISSED")
    lines = [[name, one["what"], f"{one['median']:.2f}" + (f" x {one['against']}" if one["against"] else ""),
              f"{one['min']:.2f}-{one['max']:.2f}", between(one["certain"]) if "certain" in one else "",
              held(one["bar"], one["bar_met"]), held(one["goal"], one["goal_met"])]
             for name, marks in judged.items() for one in marks]
    return table(["row", "figure", "median", "min-max", "95 %", "bar", "goal"], lines) if lines else "no bar was checked"


def missed(judged):
    """Whether any bar was."""
    return any(one["bar_met"] is False for marks in judged.values() for one in marks)


def unresolved(judged):
    """["row: figure", ...] of the bars that were neither met nor missed."""
    return [f"{name}: {one['what']}" for name, marks in judged.items() for one in marks if one["bar_met"] == UNRESOLVED]
