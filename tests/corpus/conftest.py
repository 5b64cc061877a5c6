"""A store on every database that is there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import create_engine

from corpus.store import Store
from corpus.tables import Base
from tests.corpus.builders import POSTGRESQL


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """An empty corpus."""
    url = ""
    if request.param == "postgresql":
        if not POSTGRESQL:
            pytest.skip("CONVFUZZ_TEST_POSTGRESQL names no database")
        url = POSTGRESQL
        engine = create_engine(url)
        Base.metadata.drop_all(engine)
        engine.dispose()
    with Store.open(tmp_path / "corpus", create=True, database=url) as opened:
        yield opened
