#!/usr/bin/env python3
"""Adds up ncu's CSV by kernel: launches, mean duration, bytes of device memory a launch, shares of the peaks.

usage: kernel_table.py FILE.csv [--rows 12]
The first line is a summary; a Markdown table follows.
"""
import argparse
import csv
import re


def number(text):
    return float(text.replace(",", "")) if text and text not in ("n/a", "nan") else 0.0


def short(name):
    """Without parameters, namespaces and `void`; template arguments stay."""
    return re.sub(r"\(.*", "", name.replace("void ", "")).strip() or name


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file")
    parser.add_argument("--rows", type=int, default=12)
    options = parser.parse_args()
    lines = [line for line in open(options.file, errors="replace") if line.startswith('"')]
    launches = {}
    for row in csv.DictReader(lines):
        if not row.get("ID", "").strip().isdigit():
            continue
        launch = launches.setdefault(row["ID"], {"name": short(row["Kernel Name"])})
        launch[row["Metric Name"].split(".")[0]] = number(row["Metric Value"])
    kernels = {}
    for launch in launches.values():
        kernels.setdefault(launch["name"], []).append(launch)
    if not kernels:
        raise SystemExit("ncu measured no kernel")

    def total(group, metric):
        return sum(launch.get(metric, 0.0) for launch in group)

    time = sum(total(group, "gpu__time_duration") for group in kernels.values())
    moved = sum(total(group, "dram__bytes") for group in kernels.values())
    print(f"{len(launches)} launches of {len(kernels)} kernels, {time / 1e6:.2f} ms, {moved / max(time, 1):.0f} GB/s of device memory on the mean")
    print("\n| kernel | launches | share of time | mean us | MB a launch | GB/s | memory peak | arithmetic peak |")
    print("|---|---:|---:|---:|---:|---:|---:|---:|")
    order = sorted(kernels.items(), key=lambda item: -total(item[1], "gpu__time_duration"))
    for name, group in order[:options.rows]:
        spent, size = total(group, "gpu__time_duration"), total(group, "dram__bytes")
        print(f"| `{name}` | {len(group)} | {100 * spent / max(time, 1):.1f} % | {spent / len(group) / 1e3:.1f} | {size / len(group) / 1e6:.2f} "
              f"| {size / max(spent, 1):.0f} | {total(group, 'dram__throughput') / len(group):.0f} % | {total(group, 'sm__throughput') / len(group):.0f} % |")


if __name__ == "__main__":
    main()
