"""Records to Markdown: the tables between the markers in README.md and docs/benchmarks.md."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from statistics import median
from typing import Any, TypeAlias

Record: TypeAlias = dict[str, Any]

ROOT = Path(__file__).parents[2]
OURS = "scratchnet"


def write(results: Path, root: Path = ROOT) -> None:
    """Fill every marked section of the two files from the records in ``results``, and draw the pictures of growth."""
    from . import growth

    records = read(results)
    for name in SECTIONS:
        path = root / name
        path.write_text(filled(path.read_text(), SECTIONS[name], records))
    for backend, own in _by(_newest_growth(records), lambda r: r["backend"]).items():
        growth.draw(own, root / "docs" / f"growth-{backend}.png")


def read(results: Path) -> list[Record]:
    """All records, in the order of each file."""
    lines = [line for path in sorted(results.glob("*.jsonl")) for line in path.read_text().splitlines() if line.strip()]
    return [json.loads(line) for line in lines]


def filled(text: str, sections: dict[str, Callable[[list[Record]], str]], records: list[Record]) -> str:
    """``text`` with the part between ``<!-- NAME:start -->`` and ``<!-- NAME:end -->`` replaced from the records."""
    for name, make in sections.items():
        pattern = re.compile(f"(<!-- {name}:start[^>]*-->\n).*?(<!-- {name}:end -->)", re.DOTALL)
        if len(pattern.findall(text)) != 1:
            raise ValueError(f"expected one pair of markers <!-- {name}:start --> and <!-- {name}:end -->")
        body = make(records)
        text = pattern.sub(lambda m, body=body: f"{m[1]}{body}\n{m[2]}", text)
    return text


# -- which records ----------------------------------------------------------------------------------------------------


def newest(records: Iterable[Record]) -> list[Record]:
    """The last race of each case, size and set of peers on each machine, in order of first appearance."""
    found: dict[Any, Record] = {}
    for record in records:
        if "case" in record:
            found[(_machine(record), record["case"], record["size"], frozenset(record["seconds"]))] = record
    return list(found.values())


def _newest_growth(records: Iterable[Record]) -> list[Record]:
    found = {(_machine(r), r["growth"], r["against"]): r for r in records if "growth" in r}
    return list(found.values())


def _newest_profiles(records: Iterable[Record]) -> list[Record]:
    return list({(_machine(r), r["profile"]): r for r in records if "profile" in r}.values())


def _machine(record: Record) -> tuple[str, str, int, str]:
    return record["device"], record["backend"], record["threads"], record["blas"]


def _by(records: Iterable[Record], key: Callable[[Record], Any]) -> dict[Any, list[Record]]:
    groups: dict[Any, list[Record]] = {}
    for record in records:
        groups.setdefault(key(record), []).append(record)
    return groups


# -- races ------------------------------------------------------------------------------------------------------------


def short(records: list[Record]) -> str:
    """For the README: one row per case and size, with our time and the ratio of each peer's time to it."""
    parts = []
    for own in _by(newest(records), _machine).values():
        rows = [[r["case"], r["size"], seconds(_median(r, OURS)), _peers(r)] for r in own]
        parts += [about(own), "", *grid(["", "", OURS, "times as long as scratchnet"], rows), ""]
    if not parts:
        return _nothing("python benchmarks/run.py")
    return "\n".join([
        "Median seconds, all contenders taking turns on an otherwise idle machine, after a check that they compute the "
        "same. **Below 1, in bold: faster than scratchnet.**",
        "", *parts,
        "Made by `python benchmarks/run.py` and `python benchmarks/run.py --table`; spread, agreement, the distance to "
        "the machine's limit and growth: [docs/benchmarks.md](docs/benchmarks.md).",
    ])  # fmt: skip


def _peers(record: Record) -> str:
    ours, rivals = _median(record, OURS), not record.get("parts_of_ours")
    found = []
    for name in record["seconds"]:
        if name != OURS:
            ratio = times(_median(record, name) / ours)
            found.append(f"**{name} {ratio}**" if rivals and float(ratio) < 1 else f"{name} {ratio}")
    return ", ".join(found) or "no peer installed"


def full(records: list[Record]) -> str:
    """For docs/benchmarks.md: medians, spread, ratio, and how well the results agree."""
    parts = []
    for own in _by(newest(records), _machine).values():
        rows = []
        for r in own:
            for name, values in r["seconds"].items():
                first = name == OURS
                rows.append([
                    r["case"] if first else "", r["size"] if first else "", name, seconds(median(values)),
                    f"{seconds(min(values))} to {seconds(max(values))}",
                    "1" if first else times(median(values) / _median(r, OURS)),
                    r.get("note", "") if first else r["agreement"].get(name, ""),
                ])  # fmt: skip
        head = ["", "", "", "median", "least to most", "times as long", "result (ours / theirs)"]
        parts += [about(own), "", *grid(head, rows), ""]
    return "\n".join(parts[:-1]) if parts else _nothing("python benchmarks/run.py")


def limits(records: list[Record]) -> str:
    """For docs/benchmarks.md: each case compared with the machine's peaks."""
    parts = []
    for own in _by((r for r in newest(records) if "limit" in r), _machine).values():
        rows = []
        for r in own:
            least, bound = r["limit"]
            ours = _median(r, OURS)
            rows.append([
                r["case"], r["size"], number(r["work"]["flops"]), number(r["work"]["bytes"]), bound, seconds(least),
                seconds(ours), f"{least / ours:.0%}",
            ])  # fmt: skip
        head = ["", "", "flop", "bytes", "bound by", "at the peak", OURS, "reached"]
        parts += [about(own) + _peaks(own), "", *grid(head, rows), ""]
    return "\n".join(parts[:-1]) if parts else _nothing("python benchmarks/run.py")


def _peaks(records: list[Record]) -> str:
    found = {r["work"]["dtype"]: r["peaks"] for r in records}
    each = [
        f"{dtype} product {peak['flops'] / 1e9:,.0f} Gflop/s, copy {peak['bytes'] / 1e9:.0f} GB/s"
        for dtype, peak in sorted(found.items())
    ]
    return f" Measured peaks: {'; '.join(each)}."


def _median(record: Record, name: str) -> float:
    return median(record["seconds"][name])


# -- growth and the profile of a step ---------------------------------------------------------------------------------


def growth_table(records: list[Record]) -> str:
    parts = []
    for own in _by(_newest_growth(records), _machine).values():
        rows = []
        for r in own:
            sizes = f"{r['sizes'][0]:,} to {r['sizes'][-1]:,}"
            rows.append([
                f"{r['growth']}, {r['per']}", f"{r['against']}: {sizes}", r["fixed"],
                f"{seconds(r['seconds'][0])} to {seconds(r['seconds'][-1])}", exponent(r["time"]),
                f"{number(r['bytes'][0])} to {number(r['bytes'][-1])}", exponent(r["memory"]),
            ])  # fmt: skip
        head = ["", "grows", "fixed", "time", "exponent", "bytes", "exponent"]
        notes = [f"{note}." for note in dict.fromkeys(r["note"] for r in own if "note" in r)]
        picture = f"![time and memory against size](growth-{own[0]['backend']}.png)"
        parts += [f"{about(own)} Memory: {own[0]['counted']}.", "", *grid(head, rows), "", *notes, "", picture, ""]
    return "\n".join(parts[:-1]) if parts else _nothing("python benchmarks/run.py --growth")


def profile_table(records: list[Record]) -> str:
    parts = []
    for own in _by(_newest_profiles(records), _machine).values():
        for r in own:
            total = r["total"]
            rows = [
                [part, seconds(row["seconds"]), f"{row['seconds'] / total:.0%}", row.get("bound", ""),
                 seconds(row["least"]) if "least" in row else ""]
                for part, row in r["parts"].items()
            ]  # fmt: skip
            least = sum(row.get("least", 0.0) for row in r["parts"].values())
            rows.append(["a step", seconds(total), "100%", "", seconds(least)])
            head = [r["profile"], "time", "share", "bound by", "at the peak"]
            parts += [about([r]), "", *grid(head, rows), ""]
    return "\n".join(parts[:-1]) if parts else _nothing("python benchmarks/run.py --profile")


def exponent(fit: list[float]) -> str:
    """A slope in log-log and its standard error."""
    return f"{fit[0]:.2f} +- {fit[1]:.2f}"


# -- words and numbers ------------------------------------------------------------------------------------------------


def about(records: list[Record]) -> str:
    """One line: the machine, the day, the rounds, the versions of everything that took part."""
    r = records[0]
    versions: dict[str, list[str]] = {"Python": sorted({r["python"] for r in records})}
    for record in records:
        for name, version in record["versions"].items():
            if version not in versions.setdefault(name, []):
                versions[name].append(version)
    days = sorted({r["date"] for r in records})
    day = days[0] if len(days) == 1 else f"{days[0]} to {days[-1]}"
    rounds = sorted({r["rounds"] for r in records if "rounds" in r})
    counted = f", {' or '.join(map(str, rounds))} rounds" if rounds else ""
    listed = ", ".join(f"{name} {' and '.join(found)}" for name, found in versions.items())
    threads = f"{r['threads']} threads, {r['blas']}"
    return f"{r['device']}, {threads}, backend {r['backend']}, {day}{counted}. {listed}."


def grid(head: list[str], rows: list[list[str]]) -> list[str]:
    """The lines of a Markdown table."""
    cells = [head, ["---"] * len(head), *rows]
    return ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in cells]


def seconds(value: float) -> str:
    """Three digits and a unit: 1.23 s, 45.6 ms, 789 us."""
    for unit, scale in (("s", 1.0), ("ms", 1e-3), ("us", 1e-6)):
        if float(f"{value:.3g}") >= scale or unit == "us":
            return f"{_digits(value / scale)} {unit}"
    raise AssertionError


def number(value: float) -> str:
    """Three digits and a prefix: 1.23 G."""
    for prefix, scale in (("T", 1e12), ("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if float(f"{value:.3g}") >= scale:
            return f"{_digits(value / scale)} {prefix}"
    return _digits(value)


def times(ratio: float) -> str:
    """A ratio in three digits, cut and not rounded up to 1 where it is below."""
    return "0.99" if 0.99 < ratio < 1 else _digits(ratio)


def _digits(value: float) -> str:
    rounded = float(f"{value:.3g}")
    return f"{rounded:.0f}" if rounded >= 100 else f"{rounded:.1f}" if rounded >= 10 else f"{rounded:.2f}"


def _nothing(command: str) -> str:
    return f"No results are recorded yet: `{command}` makes them, `python benchmarks/run.py --table` puts them here."


SECTIONS: dict[str, dict[str, Callable[[list[Record]], str]]] = {
    "README.md": {"benchmarks": short},
    "docs/benchmarks.md": {
        "benchmarks": full, "limits": limits, "profile": profile_table, "growth": growth_table,
    },
}  # fmt: skip
