#!/usr/bin/env python3
"""Runs a build folder's tests with ctest and counts single cases.

A GoogleTest program counts by its cases, any other check by the last line of the form
`N passed, N failed[, N skipped]` that it prints, or as one check where it prints none. A program that dies
counts what it had finished, and one failure. The last line printed is `N passed, N failed[, N skipped]`.
"""

import argparse
import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

CASE = re.compile(r"^\[ +(OK|FAILED|SKIPPED) +\] ([^\s,]+\.[^\s,]+)", re.MULTILINE)
TALLY = re.compile(r"^(\d+) passed, (\d+) failed(?:, (\d+) skipped)?\s*$", re.MULTILINE)
UNITTEST = re.compile(r"^Ran (\d+) tests? in .*?^(?:OK|FAILED)(.*?)$", re.MULTILINE | re.DOTALL)


class Count:
    def __init__(self, passed=0, failed=0, skipped=0):
        self.passed, self.failed, self.skipped = passed, failed, skipped

    def add(self, other):
        self.passed += other.passed
        self.failed += other.failed
        self.skipped += other.skipped

    def __str__(self):
        line = f"{self.passed} passed, {self.failed} failed"
        return line + f", {self.skipped} skipped" if self.skipped else line


def count_unittest(ran, remarks):
    """From `Ran N tests` and what follows OK or FAILED: ` (failures=1, errors=2, skipped=3)`."""
    of = {name: int(number) for name, number in re.findall(r"(\w+)=(\d+)", remarks)}
    failed, skipped = of.get("failures", 0) + of.get("errors", 0), of.get("skipped", 0)
    return Count(max(0, int(ran) - failed - skipped), failed, skipped)


def count_output(output, succeeded):
    """The cases of one test program, from what it printed and whether it exited with 0."""
    tallies = TALLY.findall(output)
    verdicts = {}
    for verdict, case in CASE.findall(output):
        verdicts.setdefault(case, verdict)
    if verdicts:
        of = list(verdicts.values())
        count = Count(of.count("OK"), of.count("FAILED"), of.count("SKIPPED"))
    elif tallies:
        passed, failed, skipped = tallies[-1]
        count = Count(int(passed), int(failed), int(skipped or 0))
    elif UNITTEST.search(output):
        count = count_unittest(*UNITTEST.search(output).groups())
    else:
        count = Count(passed=1) if succeeded else Count()
    if not succeeded and count.failed == 0:
        count.failed = 1
    return count


def skipped_reasons(output):
    return sorted(set(re.findall(r"^.*(?:SKIPPED: |Skipped\s*\n)(.+)$", output, re.MULTILINE)))


def run(build, jobs, only):
    report = Path(build) / "tests.xml"
    report.unlink(missing_ok=True)
    command = ["ctest", "--test-dir", build, "--output-on-failure", "--parallel", str(jobs), "--timeout", "1200",
               "--test-output-size-passed", "8000000", "--test-output-size-failed", "8000000",
               "--output-junit", str(report.resolve())]
    if only:
        command += ["--tests-regex", only]
    status = subprocess.run(command, check=False).returncode
    return status, report


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("build", help="build folder, e.g. build/release")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--only", default="", help="regular expression of test names")
    arguments = parser.parse_args()

    status, report = run(arguments.build, arguments.jobs, arguments.only)
    if not report.exists():
        print("ctest gave no report")
        print(Count(failed=1))
        return 1
    total = Count()
    for case in ElementTree.parse(report).getroot().iter("testcase"):
        output = case.findtext("system-out") or ""
        count = count_output(output, case.get("status") == "run")
        reasons = skipped_reasons(output)
        note = f"  (skipped: {'; '.join(reasons)[:200]})" if count.skipped and reasons else ""
        print(f"{case.get('name'):24} {float(case.get('time', 0)):7.1f} s  {count}{note}")
        total.add(count)
    if status != 0 and total.failed == 0:
        total.failed = 1
    if total.passed == 0:
        total.failed = max(total.failed, 1)
    print(total)
    return 1 if total.failed else 0


if __name__ == "__main__":
    sys.exit(main())
