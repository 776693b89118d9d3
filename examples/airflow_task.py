"""An Airflow task: a folder of feeds, scored; run again, it does only what is missing.

In a DAG: `resolve("/feeds/{{ ds }}", "/resolved/{{ ds }}")`. Its result goes to XCom.
"""

import json
import subprocess
from pathlib import Path

from airflow.sdk import task


@task(retries=2)
def resolve(feeds: str, resolved: str) -> dict[str, object]:
    """Score the feeds and return the counts."""
    summary = Path(f"{resolved}.json")
    command = ["rerank", "score", "--resume", feeds, resolved, "--summary", str(summary)]
    subprocess.run(command, check=True)
    return json.loads(summary.read_text())
