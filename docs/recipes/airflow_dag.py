"""A DAG that pseudonymises each day's extract: profile, pseudonymise, check.

The tasks are plain functions, so that this file also runs without Airflow:

    python airflow_dag.py 2026-11-29

In Airflow give the tasks the tokens through a secrets backend, and run them on a worker
that can read the keystore, or with --server.
"""

import json
import os
import subprocess
import sys
from datetime import datetime
from pathlib import Path

FOLDER = Path(os.environ.get("REGISTER_FOLDER", "."))
COLUMN = "national_id"


def profile(day: str) -> None:
    """Fails if columns other than the expected ones look like identification numbers."""
    command = ["velonym", "profile", "--json", str(FOLDER / f"{day}.csv")]
    report = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    numbers = {c["name"] for c in report["columns"] if "national number" in c["looks_like"]}
    if unexpected := numbers - {COLUMN, "referrer_id"}:
        raise ValueError(f"new columns with national numbers: {sorted(unexpected)}")


def pseudonymise(day: str) -> None:
    """Continues an interrupted run, so that a retry of the task costs little."""
    command = ["velonym", "run", "--quiet", "--resume", "--force", "--manifest", "--token-file", str(FOLDER / "token")]
    columns = ["--column", COLUMN, "--column", "referrer_id"]
    files = ["-o", str(FOLDER / f"{day}.pseudonymised.csv"), str(FOLDER / f"{day}.csv")]
    subprocess.run(command + columns + files, check=True)


def check(day: str) -> None:
    """Verifies the digests of input and output."""
    subprocess.run(["velonym", "run", "--check", str(FOLDER / f"{day}.pseudonymised.csv.velonym.json")], check=True)


TASKS = [profile, pseudonymise, check]

try:
    from airflow.sdk import dag, task
except ImportError:  # plain Python
    pass
else:

    @dag(schedule="@daily", start_date=datetime(2026, 1, 1), catchup=False, default_args={"retries": 3})
    def pseudonymise_register() -> None:
        """Runs the tasks one after the other for the day of the run."""
        previous = None
        for function in TASKS:
            current = task(function)("{{ ds }}")
            if previous is not None:
                previous >> current
            previous = current

    pseudonymise_register()

if __name__ == "__main__":
    for function in TASKS:
        function(sys.argv[1])
