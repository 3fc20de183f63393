"""What came of the planted faults, as lines and counts."""
import collections

import faults


def described(fault):
    at = "; ".join(", ".join(f"{name} ({op})" for name, op in group) for group in fault["named"][:2])
    wanted = ", ".join(f"{name} ({op})" for name, op in fault["wanted"][:2])
    told = f" [at {wanted}; named: {at or '-'}]" if fault["outcome"] != "right" or fault["beside"] else ""
    told += f" [cause {fault['explained']}: {fault['cause']}]" if fault.get("explained") in ("wrong", "unexplained") else ""
    return f"    {fault['outcome']:7} {fault['fault']}: {fault['change']:.1e} ({faults.size_of(fault['change'])}), {fault['verdict']}{told}"


def line(animal, kind, outcome):
    head = f"{animal.name:18} {kind:5} {outcome.get('seconds', 0):5.0f} s"
    return "\n".join([head + (" none: " + outcome["stopped"] if "stopped" in outcome else ""), *map(described, outcome.get("faults", []))])


def totals(done, seconds):
    planted = [fault for outcome in done.values() for fault in outcome.get("faults", [])]
    counts = collections.Counter((faults.size_of(fault["change"]), fault["outcome"]) for fault in planted)
    right = sum(number for (_, outcome), number in counts.items() if outcome == "right")
    listed = ", ".join(f"{number} {size} {outcome}" for (size, outcome), number in sorted(counts.items()))
    causes = collections.Counter(fault["explained"] for fault in planted if fault["outcome"] == "right" and fault.get("explained"))
    explained = f"; causes named first, where one is known: {causes['right']} right, {causes['wrong']} wrong, {causes['unexplained']} unexplained"
    return f"{len(planted)} faults in {len(done)} models in {seconds:.0f} s: {right} right ({100 * right / max(len(planted), 1):.1f} %): {listed}{explained}"
