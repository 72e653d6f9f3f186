"""Benches on a GPU with torch: python3 bench.py --json FILE. Results are compared before they are timed.

Figures of % of peak count the bytes that have to be read and written once, not what the kernel really moves."""

import argparse
import json
import sys
import traceback

import measure  # first: it puts test/gpu on the path

import deltas  # noqa: E402
import elementwise  # noqa: E402
import gpu  # noqa: E402
import linalg  # noqa: E402

PARTS = {
    "merge": elementwise.merge,
    "select": elementwise.select,
    "convert": elementwise.convert,
    "digest": elementwise.digest,
    "host copies": elementwise.host_copies,
    "linalg": linalg.run,
    "scatter": deltas.scatter,
    "swap": deltas.swap,
}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--json")
    options = parser.parse_args()
    if measure.torch is None:
        print("the benches need torch with a GPU")
        return 1
    report = measure.Report()
    errors = {}
    for name, part in PARTS.items():
        try:
            part(report)
        except Exception as error:  # one part's failure must not cost the others' figures
            traceback.print_exc()
            errors[name] = f"{type(error).__name__}: {error}"[:300]
        measure.torch.cuda.empty_cache()
        if options.json:
            write(options.json, report, errors)
    return 1 if errors or report.wrong else 0


def write(path, report, errors):
    with open(path, "w", encoding="utf-8") as file:
        json.dump(
            {
                "peak GB/s": report.peak,
                "peak from": report.peak_source,
                "figures": report.rows,
                "wrong results": report.wrong,
                "errors": errors,
            },
            file,
            indent=2,
        )


if __name__ == "__main__":
    sys.exit(main())
