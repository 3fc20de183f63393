"""What came out, as lines and as a table."""
import collections
import re


def share(elements, *classes):
    whole = sum(elements[key] for key in ("found", "covered", "unsupported", "open", "beyond") if key in elements)
    return 100 * sum(elements.get(key, 0) for key in classes) / whole if whole else 0.0


def named(operations, kind):
    return dict(collections.Counter(operation["op"] for operation in operations if operation["class"] == kind))


def first_fault(report, operations):
    faults = [operation for operation in operations if operation.get("origin") and not operation.get("accepted")]
    return [{key: operation.get(key) for key in ("name", "op", "layer", "pass", "reference", "added", "likeness", "rule")} for operation in faults[:6]]


def summary(report, seconds):
    replay = report.get("replay")
    result = {"verdict": report["verdict"], "reason": report.get("reason"), "compared": seconds}
    if replay:
        operations = replay["operations"]
        result.update(counts=replay["counts"], found=share(replay["elements"], "found"), covered=share(replay["elements"], "covered"),
                      unsupported=named(operations, "unsupported"), open=named(operations, "open"), origins=replay["origins"], faults=first_fault(report, operations))
    return result


def listed(counts):
    return ", ".join(f"{name} {count}" for name, count in sorted(counts.items(), key=lambda item: -item[1])) or "-"


def line(animal, kind, outcome):
    head = f"{animal.name:18} {kind:5} {outcome.get('architecture', ''):16} {outcome.get('seconds', 0):5.0f} s "
    if "stopped" in outcome:
        return head + "none: " + outcome["stopped"]
    text = f"{outcome['verdict']:13}"
    if "found" in outcome:
        text += f"found {outcome['found']:5.1f} % covered {outcome['covered']:5.1f} % unsupported {listed(outcome['unsupported'])} open {listed(outcome['open'])}"
        text += f" origins {outcome['origins']}: " + "; ".join(f"{f['name']} ({f['op']})" for f in outcome["faults"][:3]) if outcome["origins"] else ""
    return head + text + (f" [{outcome['reason']}]" if outcome.get("reason") else "")


def totals(done, seconds):
    counts = collections.Counter(outcome.get("verdict", "none") for outcome in done.values())
    return f"{len(done)} visits in {seconds:.0f} s: " + ", ".join(f"{count} {name}" for name, count in counts.most_common())


def cells(outcome):
    if "stopped" in outcome:
        return ["none"] + ["-"] * 4
    if "found" not in outcome:
        return [outcome["verdict"]] + ["-"] * 4
    return [outcome["verdict"], f"{outcome['found']:.1f}", f"{outcome['covered']:.1f}", listed(outcome["unsupported"]), listed(outcome["open"])]


def right_of(planted):
    """How many of the planted faults were named where they are; of None, none were planted."""
    return f"{sum(fault['outcome'] == 'right' for fault in planted)} of {len(planted)}" if planted else "-"


def named_operations(outcome):
    """The kinds of operations that are at fault, the most frequent first."""
    kinds = collections.Counter(fault["op"] for fault in outcome.get("faults", []))
    return ", ".join(kind for kind, _ in kinds.most_common(3))


def short(text):
    """One line for the table, without folders and tags."""
    return re.sub(r"\[node-llama-cpp\] |(?<!\w)/\S*/", "", text.splitlines()[0] if text else "").split(" / ")[0].replace("|", "/")


def remark(animal, outcome):
    at = f"at {named_operations(outcome)}" if outcome.get("origins") else ""
    return "; ".join(part for part in [at, animal.known, short(outcome.get("stopped", "")), outcome.get("reason") or ""] if part)


def markdown(outcomes, planted):
    """outcomes: (architecture, type) -> what came out; planted: the same -> what came of the planted faults, if there are any."""
    rows = ["| architecture | converted as | type | verdict | found % | covered % | unsupported | open | faults | |", "|---|---|---|---|---|---|---|---|---|---|"]
    for (animal, kind), outcome in outcomes.items():
        rows.append("| " + " | ".join([animal.name, outcome.get("architecture") or "-", kind, *cells(outcome), right_of(planted.get((animal, kind))), remark(animal, outcome)]) + " |")
    return "\n".join(rows) + "\n"


def absent(without):
    """Architectures of which there is no model to compare, by reason."""
    reasons = collections.defaultdict(list)
    for animal in without:
        reasons[animal.without].append(animal.name)
    return "| not run | why |\n|---|---|\n" + "".join(f"| {', '.join(names)} | {reason} |\n" for reason, names in reasons.items())


def checkpoint_line(animal, kind, outcome):
    return f"{animal.name:24} {kind:5} {outcome['verdict']:12} {listed(outcome['findings'])}"


def checkpoint_markdown(outcomes):
    """What is not a match, with the first finding; the rest by number."""
    matched = [key for key, outcome in outcomes.items() if outcome["verdict"] == "match"]
    rows = [f"{len(matched)} of {len(outcomes)} conversions match. The others:\n", "| architecture | type | verdict | findings | the first | |", "|---|---|---|---|---|---|"]
    for (animal, kind), outcome in outcomes.items():
        if outcome["verdict"] != "match":
            first = short(outcome["texts"][0] if outcome["texts"] else "")[:160].replace("|", "/")
            rows.append(f"| {animal.name} | {kind} | {outcome['verdict']} | {listed(outcome['findings'])} | {first} | {animal.files} |")
    return "\n".join(rows) + "\n"
