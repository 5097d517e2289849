"""Presets of domains: the settings that they give, and the precedence of explicit settings."""

from math import inf
from pathlib import Path

import pytest

from flows.messages import Interaction
from flows.presets import PRESETS, Domain
from flows.replay import replay
from flows.sample import EVENTS
from flows.settings import Settings, SettingsError, load_settings
from flows.steps.features import prepare
from recmodels.rewards import LARGEST_REWARD
from tests.support.cli import freshrank
from tests.support.flow import Flow, event

DOMAINS: list[Domain] = ["ecommerce", "social", "video", "news"]


def reward(domain: Domain, kind: str, value: float = 1.0) -> float:
    settings = Settings(domain=domain)
    example = prepare(Interaction("u", "i", 1.0, kind, value), settings.meaning()).example
    assert example is not None
    return example.y


def test_events_weigh_as_they_should() -> None:
    assert reward("ecommerce", "view") < reward("ecommerce", "cart") < reward("ecommerce", "purchase")
    assert reward("ecommerce", "return") == -reward("ecommerce", "purchase"), "it takes back what it returns"
    assert reward("social", "like") < reward("social", "share")
    assert reward("news", "click") < reward("news", "share")
    assert reward("video", "watch", 0.9) == 0.9
    assert reward("video", "watch", 0.1) < reward("video", "watch", 0.5)
    assert reward("video", "watch", -3.0) == 0.0
    assert reward("news", "read", 0.5) == 0.5
    assert reward("ecommerce", "view", 7.0) == 0.2, "elsewhere a value is no weight"


@pytest.mark.parametrize("domain", DOMAINS)
def test_every_preset_is_one_that_a_model_takes(domain: Domain) -> None:
    settings, preset = Settings(domain=domain), PRESETS[domain]
    assert settings.build_model().half_lives == preset.half_lives  # type: ignore[attr-defined]
    assert (settings.repeats, settings.rewards) == (preset.repeats, preset.rewards)
    assert list(preset.half_lives) == sorted(preset.half_lives)
    assert all(-LARGEST_REWARD <= worth <= LARGEST_REWARD for worth in preset.rewards.values()), (
        "what is more is cut off"
    )
    assert max(preset.rewards.values()) == 1.0, "what a model keeps fades by the sum of rewards"
    assert set(preset.by_value) <= preset.rewards.keys()
    assert replay(EVENTS, settings, limit=200).counters.learned == 200


def test_no_domain_leaves_the_defaults() -> None:
    settings = Settings()
    assert (settings.domain, settings.model, settings.repeats, settings.by_value) == (None, "blend", "allow", [])
    assert inf in settings.build_model().half_lives  # type: ignore[attr-defined]


def test_explicit_setting_overrides_the_domain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "freshrank.toml"
    file.write_text('domain = "news"\nmodel = "popularity"\n[rewards]\nclick = 0.7\nprint = 4.0\n')
    monkeypatch.setenv("FRESHRANK_REPEATS", "allow")
    settings = load_settings(file)
    assert (settings.model, settings.repeats, settings.by_value) == ("popularity", "allow", ["read"])
    assert settings.rewards == {**PRESETS["news"].rewards, "click": 0.7, "print": 4.0}
    assert PRESETS["news"].rewards["click"] == 0.5, "the preset itself is as it was"
    assert load_settings(file, domain="video", model="history").model == "history"
    assert load_settings(file, domain="video").by_value == ["watch"]


def test_a_domain_comes_from_a_variable_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FRESHRANK_DOMAIN", "social")
    assert load_settings().repeats == "exclude"


def test_an_unknown_domain_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as error:
        load_settings(domain="games")
    assert str(error.value) == ("setting domain: Input should be 'ecommerce', 'social', 'video' or 'news'; got 'games'")
    file = tmp_path / "freshrank.toml"
    file.write_text("domain = [1]\n")
    with pytest.raises(SettingsError, match="setting domain"):
        load_settings(file)


def test_the_command_takes_a_domain() -> None:
    done = freshrank("replay", EVENTS, "--limit", 300, "--domain", "news", "--repeats", "allow")
    assert done.returncode == 0, done.stderr
    done = freshrank("replay", EVENTS, "--domain", "games")
    assert done.returncode == 2
    assert "--domain" in done.stderr, "the option is named"
    assert "ecommerce" in done.stderr, "and so are its values"


def test_a_purchase_moves_lists_more_than_views() -> None:
    views = [event(f"u{n}", "tea", float(n), event="view") for n in range(4)]
    buys = [event(f"v{n}", "jam", 10.0 + n, event="purchase") for n in range(2)]
    records = [*views, *buys, event("ann", "pie", 20.0)]
    assert Flow(records, domain="ecommerce", model="popularity(half_life=1000.0)").items(-1)[0] == "jam"
    assert Flow(records, model="popularity(half_life=1000.0)").items(-1)[0] == "tea"
