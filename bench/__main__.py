"""Run the benchmarks: `python -m bench --help`."""

from __future__ import annotations

from rerank.jobs.cli import keep_threads_quiet

if __name__ == "__main__":
    keep_threads_quiet()
    from bench.command import bench_command

    bench_command(prog_name="python -m bench")
