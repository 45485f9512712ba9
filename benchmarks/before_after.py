"""Two installed versions of scratchnet side by side: our rows of the races, timed in turns, medians and ratios.

    git worktree add ../before COMMIT
    python -m venv before-env && before-env/bin/pip install '../before[bench]'
    python benchmarks/before_after.py --before before-env/bin/python ../before/benchmarks [--case NAME ...] [--rounds 5]

The other version runs in its own interpreter, with the benchmarks of its own checkout. Each process waits while the
other one is at work. Run it on an idle machine.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

HERE = Path(__file__).resolve().parent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--before", nargs=2, metavar=("PYTHON", "BENCHMARKS"), help="the other interpreter, and folder")
    parser.add_argument("--case", nargs="+", metavar="NAME", help="as in run.py; by default all that need no GPU")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="small sizes, one round: does it work?")
    parser.add_argument("--serve", metavar="BENCHMARKS", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.serve:
        serve(Path(args.serve))
        return
    if not args.before:
        parser.error("--before names the other version's interpreter and its benchmarks folder")
    compare(args.before, args.case, 1 if args.quick else args.rounds, args.quick)


def compare(before: list[str], cases: list[str] | None, rounds: int, quick: bool) -> None:
    """Print a line per race: median seconds of both, and the median of the rounds' ratios now / before."""
    versions = [Version(sys.executable, str(HERE)), Version(*before)]
    print(f"{'':<64}{'before':>10}{'now':>10}{'now / before':>14}   (range)")
    for case in cases or versions[0].ask("cases")["cases"]:
        races, others = ([tuple(race) for race in v.ask("case", case, quick)["races"]] for v in versions)
        for race in races:
            if race not in others:
                print(f"{', '.join(race):<64}{'no such race before':>34}")
                continue
            seconds: list[list[float]] = [[], []]
            for i in range(rounds + 1):  # the first warms up
                for version, found in list(zip(versions, seconds, strict=True))[:: 1 if i % 2 else -1]:
                    taken = version.ask("time", *race)["seconds"]
                    found += [taken] * (i > 0)
            shares = sorted(now / then for now, then in zip(*seconds, strict=True))
            times = f"{median(seconds[1]):>10.4f}{median(seconds[0]):>10.4f}{median(shares):>14.3f}"
            print(f"{', '.join(race):<64}{times}   ({shares[0]:.3f} to {shares[-1]:.3f})", flush=True)


class Version:
    """An interpreter that answers questions, one JSON line each."""

    def __init__(self, python: str, benchmarks: str) -> None:
        command = [python, str(Path(__file__).resolve()), "--serve", benchmarks]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd="/")

    def ask(self, *question: Any) -> dict[str, Any]:
        """The answer to ("cases",), ("case", name, quick) or ("time", case, size)."""
        stdin, stdout = self.process.stdin, self.process.stdout
        assert stdin is not None
        assert stdout is not None
        print(json.dumps(question), file=stdin, flush=True)
        if not (answer := stdout.readline()):
            raise SystemExit(f"the process of {self.process.args} ended without an answer to {question}")
        return json.loads(answer)


def serve(benchmarks: Path) -> None:
    """Answer the questions on standard input with the races of one version's benchmarks folder."""
    sys.path.insert(0, str(benchmarks.resolve()))
    answers, sys.stdout = sys.stdout, sys.stderr  # whatever prints must not answer
    import run
    from suite.race import _timed

    races: dict[tuple[str, str], Any] = {}
    for question in _questions():
        if question[0] == "cases":
            answer: dict[str, Any] = {"cases": list(run.CASES)}
        elif question[0] == "case":
            races = {(race.case, race.size): race for race in run.CASES[question[1]](question[2])}
            answer = {"races": list(races)}
        else:
            answer = {"seconds": _timed(races[tuple(question[1:])].ours)[0]}
        print(json.dumps(answer), file=answers, flush=True)


def _questions() -> Iterator[list[Any]]:
    for line in sys.stdin:
        yield json.loads(line)


if __name__ == "__main__":
    main()
