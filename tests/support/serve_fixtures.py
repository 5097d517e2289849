"""Fixtures for tests of the server: topics of new names, and a browser."""

from collections.abc import Iterator

import pytest

from tests.support.browser import Page, browse, needed_browser
from tests.support.kafka_fixtures import AnyBroker, NewTopic
from tests.support.serving import Topics


@pytest.fixture
def topics(broker: AnyBroker, new_topic: NewTopic) -> Topics:
    """Input and output topics of a job and its server."""
    return Topics(broker, new_topic)


@pytest.fixture(scope="session")
def browser() -> Iterator[Page]:
    """The page of one browser for the whole session."""
    with browse(needed_browser()) as opened:
        yield opened


@pytest.fixture
def page(browser: Page) -> Page:
    """A page that no test has used."""
    browser.renew()
    return browser
