"""How a run is carried out: where it writes, how much it may use, what it leaves out. Nothing here changes a result."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

# With more children than this at work the gain is small and the memory is not.
_MOST_JOBS = 8


def default_cache() -> Path:
    """``EDGEKIT_CACHE``, else the platform's cache folder for edgekit."""
    named = os.environ.get("EDGEKIT_CACHE")
    if named:
        return Path(named).expanduser().absolute()
    from platformdirs import user_cache_path

    return user_cache_path("edgekit", appauthor=False)


def usable_cores() -> int:
    """The cores this process may run on (at least 1)."""
    if hasattr(os, "sched_getaffinity"):
        return max(1, len(os.sched_getaffinity(0)))
    return os.cpu_count() or 1


@dataclass(frozen=True)
class Settings:
    """``jobs``: children at work at once (None: one per core). ``threads``: what each is told to use (None: an equal
    share of the cores). ``keep_going``: a branch goes on below an exact step that missed its gate. ``strict`` turns
    what could not be settled into exit code 6. ``memory_limit_bytes`` is per child, with the programs it starts
    (None: nine tenths of the machine's memory). ``extra_modules``: Python files that every worker loads first, to
    register steps or formats.
    """

    out: Path
    cache: Path = field(default_factory=default_cache)
    jobs: int | None = None
    keep_going: bool = False
    use_cache: bool = True
    evaluate: bool = True
    strict: bool = False
    threads: int | None = None
    time_limit_seconds: float | None = None
    memory_limit_bytes: int | None = None
    extra_modules: tuple[str, ...] = ()

    @property
    def busy_limit(self) -> int:
        """How many children may work at once."""
        return max(1, self.jobs) if self.jobs else min(usable_cores(), _MOST_JOBS)

    @property
    def thread_share(self) -> int:
        """Threads for each child. It does not depend on what else runs at the moment, so that a result does not
        either."""
        return max(1, self.threads) if self.threads else max(1, usable_cores() // self.busy_limit)
