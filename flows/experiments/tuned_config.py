"""Write tuned settings as a configuration that `freshrank run --config` accepts."""

from collections.abc import Callable, Mapping
from typing import Any

from flows.errors import UsageError, how_to_install
from flows.experiments.tune import Tuned, conclusion
from flows.settings import Settings


def toml_writer() -> Callable[[Mapping[str, Any]], str]:
    """Return the library that writes TOML.

    Raises:
        UsageError: It is not installed.
    """
    try:
        import tomli_w
    except ImportError:
        raise UsageError(f"tuning needs tomli-w. Install it: {how_to_install('tune')}.") from None
    return tomli_w.dumps


def tuned_toml(tuned: Tuned, command: str) -> str:
    """Return the text of the file: the conclusion as comments, then the model and the settings that differ from the
    defaults.

    Args:
        tuned: The result of tuning.
        command: The command as typed, with log and protocol.
    """
    usual = {name: field.get_default() for name, field in Settings.model_fields.items()}
    others: dict[str, Any] = {name: value for name, value in tuned.settings.items() if value != usual[name]}
    said = [f"Tuned in {len(tuned.trials)} trials by", f"  {command}", *conclusion(tuned)]
    comments = "".join(f"# {line}\n" for sentence in said for line in sentence.splitlines())
    return f"{comments}\n{toml_writer()({'model': tuned.settings['model'], **others})}"
