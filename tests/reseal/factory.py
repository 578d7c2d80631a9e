"""What a worker in another process makes its job of; its arguments come by the environment."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import sqlalchemy as sa

from sqlalchemy_sealed import LocalRootKey
from sqlalchemy_sealed.reseal.job import Job, run

from .faults import Stage

URL, KEYS, ROOT = "SEALED_TEST_URL", "SEALED_TEST_KEYS", "SEALED_TEST_ROOT"


def make() -> tuple[sa.Engine, Job]:
    """Return engine and job of a worker."""
    provider = LocalRootKey.from_text(os.environ[ROOT])
    stage = Stage(sa.make_url(os.environ[URL]), Path(os.environ[KEYS]), provider)
    stage.open_keys()
    engine = sa.create_engine(stage.url)
    return engine, stage.job(engine)


def main() -> None:
    """Be a worker, as a command line."""
    engine, job = make()
    run(engine, job, shared=True)


def dies() -> tuple[sa.Engine, Job]:
    """Be a worker that is killed."""
    os.kill(os.getpid(), 9)
    sys.exit(1)


def sleeps() -> tuple[sa.Engine, Job]:
    """Be a worker that is never ready."""
    time.sleep(3600)
    sys.exit(1)


def slowly() -> tuple[sa.Engine, Job]:
    """Return engine and job of a worker that takes its time for each page."""
    provider = LocalRootKey.from_text(os.environ[ROOT])
    stage = Stage(sa.make_url(os.environ[URL]), Path(os.environ[KEYS]), provider, slow=0.05)
    stage.open_keys()
    engine = sa.create_engine(stage.url)
    return engine, stage.job(engine)
