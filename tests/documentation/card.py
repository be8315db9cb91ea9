"""The tables of the model card, from what lies beside the bundle in use.

``python -m tests.documentation.card`` writes them anew, after another bundle has come.
"""

from __future__ import annotations

from pathlib import Path

from agent.config import PACKAGED_ENGINES, InferConfig

PAGE = Path(__file__).parents[2] / ".docs" / "model-card.md"

BEGIN = "<!-- by python -m tests.documentation.card -->\n"

TITLES = {
    "phe_sich": "Held-out real patients with a bleed inside the brain (PHE-SICH-CT-IDS)",
    "ct_ich": "Held-out real trauma patients (CT-ICH)",
    "bleed_free": "Bleed-free real heads",
    "laid_in": "Bleeds laid by computer into held-out real heads",
    "generated": "Generated heads, of scanners and shapes unlike those trained on",
    "generated-further": "Further generated heads, evaluated after the bundle was chosen",
}
"""Sets as ``bleedwatch model evaluate`` names them, in the order of the page."""


def with_tables(text: str) -> str:
    """Return the page with its tables as they are to be."""
    folder = PACKAGED_ENGINES / InferConfig().bundle / "card"
    cards = [(folder / f"{name}.md", title) for name, title in TITLES.items()]
    return (
        text.partition(BEGIN)[0]
        + BEGIN
        + "".join(_section(card, title) for card, title in cards if card.exists())
    )


def _section(card: Path, title: str) -> str:
    tables = card.read_text(encoding="utf-8").partition("\n")[2]
    return f"\n## {title}\n{tables.rstrip()}\n"


if __name__ == "__main__":
    PAGE.write_text(with_tables(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
