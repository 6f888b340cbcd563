"""Whether the figures of a run are what they have to be: the bar and the goal of each row."""
from .report import table


def judge(row, summary):
    """[{what, median, min, max, against, bar, bar_met, goal, goal_met}, ...]; of what was measured."""
    found = []
    for mark in row.marks:
        measured = summary["ratios"].get(mark.key) or summary["figures"].get("scoregate", {}).get(mark.key)
        if not measured:
            continue

        def met(limit):
            return None if limit is None else measured["median"] >= limit if mark.at_least else measured["median"] <= limit
        found.append({"what": mark.what, "median": measured["median"], "min": measured["min"], "max": measured["max"],
                      "against": measured.get("peer"), "bar": mark.bar, "bar_met": met(mark.bar), "goal": mark.goal,
                      "goal_met": met(mark.goal)})
    return found


def describe(judged):
    """judged: {row: what judge() returned}."""
    def held(limit, met):
        return "" if limit is None else f"{limit:.2f} {'met' if met else 'MISSED'}"
    lines = [[name, one["what"], f"{one['median']:.2f}" + (f" x {one['against']}" if one["against"] else ""),
              f"{one['min']:.2f}-{one['max']:.2f}", held(one["bar"], one["bar_met"]), held(one["goal"], one["goal_met"])]
             for name, marks in judged.items() for one in marks]
    return table(["row", "figure", "median", "min-max", "bar", "goal"], lines) if lines else "no bar was checked"


def missed(judged):
    """Whether any bar was."""
    return any(one["bar_met"] is False for marks in judged.values() for one in marks)
