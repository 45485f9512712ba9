"""Races between scratchnet and other libraries: checked to compute the same, timed in turns; medians and ratios.

    python benchmarks/run.py [--case NAME ...] [--quick] [--rounds 5] [--backend numpy]
    python benchmarks/run.py --table          write the tables in README.md and docs/benchmarks.md from the results
    python benchmarks/run.py --growth         time and memory against size, with fitted exponents
    python benchmarks/run.py --profile        where the time of a training step of the VAE goes
    python benchmarks/run.py --backend cupy --case gpu-tsne gpu-bandwidth ...       cases for a GPU only

Peers are those of scikit-learn, SciPy, openTSNE and PyTorch that are installed: pip install 'scratchnet[bench]'. The
full data come from SCRATCHNET_DATA. Results are appended to benchmarks/results as JSON lines. Run it on an idle
machine: a second program that computes makes two-threaded matrix products many times slower, and does not slow down all
libraries alike.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

from suite import clustering, embedding, gpu, growth, machine, race, start, step, table, training

import scratchnet as sn

CASES = {
    "start": start.start,
    "kmeans": clustering.kmeans,
    "pca": clustering.pca,
    "pca-far": clustering.far,
    "hierarchical": clustering.hierarchical,
    "tsne": embedding.tsne,
    "train-small": training.small,
    "train-deep": training.deep,
    "train-vae": training.vae,
}
ON_GPU = {
    "gpu-tsne": gpu.tsne,
    "gpu-bandwidth": gpu.bandwidth,
    "gpu-first-call": gpu.first_call,
    "gpu-kmeans": gpu.kmeans,
    "gpu-pca": gpu.pca,
    "gpu-vae": gpu.vae,
}
RESULTS = Path(__file__).parent / "results"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = [*CASES, *ON_GPU]
    parser.add_argument("--case", nargs="+", choices=names, default=list(CASES), metavar="NAME", help=", ".join(names))
    parser.add_argument("--quick", action="store_true", help="small sizes, one run, nothing recorded: a smoke test")
    parser.add_argument("--without", nargs="+", default=[], metavar="PEER", help='leave out, e.g. "scikit-learn exact"')
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--backend", choices=("numpy", "cupy"), default="numpy")
    parser.add_argument("--table", action="store_true", help="write the tables from the results; nothing is run")
    parser.add_argument("--growth", action="store_true", help="time and memory against size, instead of races")
    parser.add_argument(
        "--profile", action="store_true", help="where the time of a training step goes, instead of races"
    )
    args = parser.parse_args()
    if args.table:
        table.write(RESULTS)
        return
    if args.backend != "cupy" and ON_GPU.keys() & set(args.case):
        parser.error(f"{', '.join(ON_GPU)} need --backend cupy")
    sn.use(args.backend)
    about = machine.describe()
    print(json.dumps(about, indent=1))

    def keep(name: str, record: dict[str, Any]) -> None:
        if not args.quick and not args.without:
            RESULTS.mkdir(exist_ok=True)
            with (RESULTS / f"{name}{args.backend}.jsonl").open("a") as file:
                file.write(json.dumps({**record, **about}) + "\n")

    if args.growth:
        for record in growth.run(args.quick):
            fits = f"time {table.exponent(record['time'])}, memory {table.exponent(record['memory'])}"
            print(f"{record['growth']}, {record['per']}, against {record['against']}: {fits}", flush=True)
            keep("growth-", record)
        return
    if args.profile:
        for record in step.run(args.quick):
            print(f"\n{table.profile_table([{**record, **about}])}", flush=True)
            keep("profile-", record)
        return
    for name in args.case:
        for contest in (CASES | ON_GPU)[name](args.quick):
            print(f"\n{contest.case}, {contest.size}", flush=True)
            contest = replace(contest, peers={p: r for p, r in contest.peers.items() if p not in args.without})
            record = race.hold(contest, 0 if args.quick else args.rounds)
            if "work" in record:
                record["limit"] = machine.limit(record["work"])
                record["peaks"] = machine.peaks(record["work"]["dtype"])
            _show(record)
            keep("", {**record, "rounds": args.rounds})
    if race.missing:
        print(f"\nnot compared, because not installed: {', '.join(sorted(race.missing))}")


def _show(record: dict[str, Any]) -> None:
    times = race.ratios(record)
    for name, seconds in record["seconds"].items():
        spread = f"{median(seconds):9.3f} s  ({min(seconds):.3f} to {max(seconds):.3f})"
        ratio = f"  x {times[name]:.2f}" if name in times else ""
        agreement = f"  {record['agreement'][name]}" if name in record["agreement"] else ""
        print(f"  {name:<28}{spread}{ratio}{agreement}")
    if "limit" in record:
        seconds, bound = record["limit"]
        share = seconds / median(record["seconds"]["scratchnet"])
        print(f"  at this machine's peak ({bound}) {seconds:.3f} s: {share:.0%} of it reached")
    if "note" in record:
        print(f"  {record['note']}")


if __name__ == "__main__":
    main()
