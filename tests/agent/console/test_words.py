"""The page's languages: nothing is left in English, nothing is said that nobody says."""

from __future__ import annotations

import re

import pytest
from babel.messages.pofile import read_po

from agent.console.app import STATIC
from agent.console.settings import LANGUAGES
from agent.console.words import CATALOGUES, spoken, wordings, words
from agent.reasons import PAGE
from tests.agent.console.texts import of_reasons, texts

TRANSLATED = [language for language in LANGUAGES if language != "en"]

PLACE = re.compile(r"\{[^}]*\}")


@pytest.mark.parametrize("language", TRANSLATED)
def test_every_text_is_translated_and_no_other(language: str) -> None:
    assert set(words(language)) == texts()


@pytest.mark.parametrize("language", TRANSLATED)
def test_a_translation_fills_in_the_same_values(language: str) -> None:
    for text, translation in words(language).items():
        assert sorted(PLACE.findall(translation)) == sorted(PLACE.findall(text)), text


@pytest.mark.parametrize("language", TRANSLATED)
def test_no_translation_is_only_a_guess(language: str) -> None:
    with (CATALOGUES / f"{language}.po").open("rb") as file:
        assert not [message.id for message in read_po(file) if message.fuzzy and message.id]


@pytest.mark.parametrize("language", TRANSLATED)
def test_every_reason_is_said_in_every_language(language: str) -> None:
    said = wordings(language)

    assert said.keys() == PAGE.keys()
    assert said["bone_kernel"]["text"] != PAGE["bone_kernel"].text
    assert set(words(language)) > of_reasons()


def test_in_english_a_reason_comes_already_worded() -> None:
    assert wordings("en") == {}


def test_no_script_makes_a_pattern_to_lay_over_what_was_said() -> None:
    """A reason is worded by its code; text is shown, and never taken apart."""
    for script in STATIC.glob("*.js"):
        source = script.read_text(encoding="utf-8")
        assert "RegExp(" not in source, script.name
        assert ".exec(" not in source, script.name


def test_no_text_hides_from_the_catalogues_within_another() -> None:
    for script in STATIC.glob("*.js"):
        assert "${t(" not in script.read_text(encoding="utf-8"), script.name


@pytest.mark.parametrize(
    ("asked", "language"),
    [
        ("de-AT,de;q=0.9,en;q=0.8", "de"),
        ("zh-CN,zh;q=0.9", "zh"),
        ("pt-BR,es;q=0.5,en;q=0.3", "es"),
        ("fr", "fr"),
        ("ja", "en"),
        ("", "en"),
        ("*;;q=,-_", "en"),
    ],
)
def test_the_browser_chooses_among_the_languages(asked: str, language: str) -> None:
    assert spoken(asked) == language
