"""Gathers what scripts/gpu-suite.sh left in its logs: python3 report.py LOGS OUT. Writes gpu-<device>-<date>.json and .txt."""

import datetime
import json
import os
import platform
import re
import subprocess
import sys


def read(path):
    try:
        with open(path, encoding="utf-8") as file:
            return json.load(file)
    except (OSError, ValueError):
        return None


def command(*arguments):
    try:
        done = subprocess.run(arguments, capture_output=True, text=True, timeout=30)
        return done.stdout.strip().splitlines()
    except (OSError, subprocess.TimeoutExpired):
        return []


def stages(logs):
    found = {}
    with open(os.path.join(logs, "stages"), encoding="utf-8") as file:
        for line in file:
            name, status, seconds = line.split()
            found[name] = {"ok": status == "0", "seconds": int(seconds)}
    return found


def summary(report):
    lines = [f"{report['device']}, {report['date']}, driver {report['driver']}"]
    for name, stage in report["stages"].items():
        counts = report["parity"].get(name)
        tests = f": {counts['passed']} passed, {counts['failed']} failed, {len(counts['skipped'])} skipped" if counts else ""
        lines.append(f"{'ok    ' if stage['ok'] else 'FAILED'} {name}, {stage['seconds']} s{tests}")
        lines += [f"       {test}: {text}" for test, text in (counts or {}).get("failures", {}).items()]
    bench = report["bench"]
    if bench:
        lines.append(f"peak {bench['peak GB/s']:.0f} GB/s ({bench['peak from']})")
        for row in bench["figures"]:
            text = f"{row['name']}: {row['ms']} ms"
            if "GB/s" in row:
                text += f", {row['GB/s']} GB/s"
            if "% of peak" in row:
                text += f", {row['% of peak']} % of peak"
            for other, figures in row.get("against", {}).items():
                text += f"; {other} {figures['ms']} ms ({figures['times slower']}×)"
            lines.append(text)
        lines += [f"WRONG RESULT: {name}" for name in bench["wrong results"]]
        lines += [f"bench {name}: {text}" for name, text in bench["errors"].items()]
    return "\n".join(lines) + "\n"


def main():
    logs, out = sys.argv[1:]
    names = [name[:-5] for name in os.listdir(logs) if name.endswith(".json")]
    tests = {name: read(os.path.join(logs, f"{name}.json")) for name in sorted(names) if name != "bench"}
    tests = {name: found for name, found in tests.items() if found}
    gpus = command("nvidia-smi", "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader")
    device = next((found["device"] for found in tests.values()), None) or (gpus[0].split(",")[0] if gpus else "none")
    report = {
        "device": device,
        "date": datetime.date.today().isoformat(),
        "driver": gpus[0].split(", ")[1] if gpus else "none",
        "nvcc": (command("nvcc", "--version") or [""])[-1],
        "python": platform.python_version(),
        "stages": stages(logs),
        "parity": tests,
        "bench": read(os.path.join(logs, "bench.json")),
    }
    stem = re.sub(r"[^a-z0-9]+", "-", device.lower()).strip("-")
    path = os.path.join(out, f"gpu-{stem}-{report['date']}")
    text = summary(report)
    # What the emulated plug-in did is no result to keep.
    if "emulated" not in stem and stem != "none":
        with open(f"{path}.json", "w", encoding="utf-8") as file:
            json.dump(report, file, indent=2)
        with open(f"{path}.txt", "w", encoding="utf-8") as file:
            file.write(text)
        print(f"written: {path}.json")
    print(text, end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
