"""Run the benchmarks: `python -m bench --help`."""

from __future__ import annotations

from rerank.jobs.cli import settle_libraries

if __name__ == "__main__":
    settle_libraries()
    from bench.command import bench_command

    bench_command(prog_name="python -m bench")
