"""Runs the parity tests of this folder: python3 run_tests.py [--json FILE] [name …]. Ends with `N passed, N failed`."""

import argparse
import json
import os
import sys
import time
import unittest

import gpu


class Result(unittest.TextTestResult):
    """Prints each test's time; of a test with many failed subtests the first few only."""

    def startTest(self, test):
        self.began = time.monotonic()
        super().startTest(test)

    def stopTest(self, test):
        seconds = time.monotonic() - self.began
        if seconds > 1:
            self.stream.writeln(f"    {seconds:.1f} s: {test.id()}")
        super().stopTest(test)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--json")
    parser.add_argument("names", nargs="*")
    options = parser.parse_args()
    folder = os.path.dirname(os.path.abspath(__file__))
    os.chdir(folder)
    loader = unittest.defaultTestLoader
    suite = loader.loadTestsFromNames(options.names) if options.names else loader.discover(folder)
    started = time.monotonic()
    result = unittest.TextTestRunner(resultclass=Result, verbosity=2, stream=sys.stdout).run(suite)
    broken = {getattr(test, "test_case", test).id(): text for test, text in [*result.errors, *result.failures]}
    report = {
        "device": gpu.info().name.decode(),
        "arrays": "torch" if gpu.torch() is not None else "plug-in",
        "size": os.environ.get("TASKFOLD_TEST_SIZE", "normal"),
        "passed": result.testsRun - len(result.skipped) - len(broken),
        "failed": len(broken),
        "skipped": {test.id(): reason for test, reason in result.skipped},
        "failures": {name: text.strip().splitlines()[-1][:300] for name, text in broken.items()},
        "notes": gpu.NOTES,
        "seconds": round(time.monotonic() - started, 1),
    }
    if options.json:
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump(report, file, indent=2)
    for name, value in gpu.NOTES.items():
        print(f"{name}: {value:.3g}")
    print(f"{report['passed']} passed, {report['failed']} failed, {len(result.skipped)} skipped")
    return 1 if broken or result.testsRun == 0 else 0


if __name__ == "__main__":
    sys.exit(main())
