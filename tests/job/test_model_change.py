"""Changed arguments of a model with existing state."""

from pathlib import Path

import pytest

from flows.job.model_change import applicable_change
from flows.messages import Outgoing
from flows.state.recovery import RecoveryError, recovery_in
from tests.support.flow import sample_records
from tests.support.monitored_flow import watching


def listed(directory: Path, count: int, model: str) -> list[Outgoing]:
    """Run a job over so many records, from where its state ends, and return the users' lists that it sent."""
    job = watching(sample_records(count), state=directory / "state")
    with recovery_in(directory, {"model": model}, applicable_change) as recovery:
        assert recovery is not None
        job.connections.store = recovery.store
        job.run(recovery, epoch_seconds=0.01, model=model)
    return [message for _, message in job.sent if message.key]


@pytest.mark.slow
@pytest.mark.parametrize("model", ["popularity", "blend"])
def test_larger_bounds_are_applied_to_the_state(tmp_path: Path, model: str, caplog: pytest.LogCaptureFixture) -> None:
    small, large = f"{model}(max_users=2000, max_items=3000)", f"{model}(max_users=4000, max_items=5000)"
    listed(tmp_path / "resumed", 300, small)
    with caplog.at_level("INFO"):
        resumed = listed(tmp_path / "resumed", 600, large)
    assert "max_users from 2,000 to 4,000, max_items from 3,000 to 5,000" in caplog.text
    whole = listed(tmp_path / "whole", 600, large)
    assert len(resumed) == 300
    assert resumed == whole[-300:]
    assert listed(tmp_path / "resumed", 600, large) == []


@pytest.mark.parametrize(
    "wanted", ["popularity(max_users=64)", "blend", "popularity(half_life=5.0)", "popularity+blend"]
)
def test_other_changes_are_refused_with_what_can_change(tmp_path: Path, wanted: str) -> None:
    listed(tmp_path, 100, "popularity(max_users=2000)")
    with pytest.raises(RecoveryError, match="`max_users` and `max_items` alone can change, and only be raised"):
        listed(tmp_path, 200, wanted)
