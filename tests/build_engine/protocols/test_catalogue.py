"""What is wrong with a profile is named by file and key, with what to do next."""

from __future__ import annotations

import shutil
from dataclasses import replace

import pytest

from agent.errors import ConfigError
from agent.reasons import Reason, english
from agent.reasons import what_to_do as remedy
from agent.records import OperatingPoint
from build_engine.protocols.catalogue import KEYS, catalogue
from tests.build_engine.protocols.made import PACKAGED
from tests.heads import SEEING, SEEING_BUNDLE

OWN = 'name = "own"\nbased_on = "generic-head"\n'


def problems(folder, text):
    shutil.copy(PACKAGED / "generic-head.toml", folder)
    (folder / "own.toml").write_text(text)
    entries = {entry.path.name: entry for entry in catalogue(folder, SEEING_BUNDLE)}
    assert entries["generic-head.toml"].profile is not None
    return entries["own.toml"].problems


def test_the_packaged_profiles_are_without_fault():
    entries = catalogue(PACKAGED, SEEING_BUNDLE)

    assert {entry.name for entry in entries} == {path.stem for path in PACKAGED.glob("*.toml")}
    assert [problem for entry in entries for problem in entry.problems] == []


@pytest.mark.parametrize(
    ("text", "key", "what", "what_to_do"),
    [
        (OWN + "quite_s = 3.0", "quite_s", "no such key", "did you mean quiet_s?"),
        (OWN + "zzz = 3.0", "zzz", "no such key", "remove it"),
        (OWN + "kernels = 'STD+('", "kernels", "not a regular expression", "backslash"),
        (OWN + "kvp = [150.0, 70.0]", "kvp", "from 150 to 70 is no range", "mend"),
        (OWN + "kvp = [150.0]", "kvp", "value 2", "generic-head.toml"),
        (OWN + "quiet_s = 'soon'", "quiet_s", "number", "generic-head.toml"),
        (OWN + "min_slices = 2000", "", "min_slices 2000 is above max_slices", "mend"),
        (OWN + "quiet_s = 120.0", "", "quiet_s 120 reaches deadline_s 120", "mend"),
        (OWN + "operating_point = 'x'", "operating_point", "no operating point 'x'", "balanced"),
        ('name = "own"\nbased_on = "nobody"', "based_on", "no profile 'nobody'", "name one"),
        ('based_on = "generic-head"', "name", "not set", "a name of its own"),
        (OWN + "quiet_s = = 3", "", "line 3", "mend the TOML"),
    ],
)
def test_a_problem_is_named_by_key_with_what_to_do(tmp_path, text, key, what, what_to_do):
    (problem,) = problems(tmp_path, text)

    assert problem.file == tmp_path / "own.toml"
    assert problem.key == key
    assert what in english(problem.because)
    assert what_to_do in remedy(problem.because)
    assert str(problem).startswith(f"{tmp_path}/own.toml: {key}")


def test_all_problems_of_a_file_are_named(tmp_path):
    found = problems(tmp_path, OWN + "quite_s = 3.0\nkernels = '('\nkvp = [150.0, 70.0]")

    assert {problem.key for problem in found} == {"quite_s", "kernels", "kvp"}


def test_all_missing_keys_are_one_problem(tmp_path):
    (problem,) = problems(tmp_path, 'name = "own"')

    assert {"kvp", "quiet_s"} < set(problem.key.split(", ")) < set(KEYS)
    assert "based_on" in remedy(problem.because)


def test_two_profiles_of_one_name_name_each_other(tmp_path):
    shutil.copy(PACKAGED / "generic-head.toml", tmp_path / "a.toml")
    shutil.copy(PACKAGED / "generic-head.toml", tmp_path / "b.toml")

    a, b = catalogue(tmp_path, SEEING_BUNDLE)

    assert [problem.key for problem in (*a.problems, *b.problems)] == ["name", "name"]
    assert [each.problems[0].because for each in (a, b)] == [
        Reason("profile_namesake", other=str(tmp_path / other), name="generic-head")
        for other in ("b.toml", "a.toml")
    ]


def test_a_bases_mistake_is_named_in_the_base(tmp_path):
    base = (PACKAGED / "generic-head.toml").read_text().replace("quiet_s = 4.0", "quiet_s = 'a'")
    (tmp_path / "base.toml").write_text(base)
    (tmp_path / "own.toml").write_text(OWN)

    _base, own = catalogue(tmp_path, SEEING_BUNDLE)

    assert own.profile is None
    assert [(one.file.name, one.key) for one in own.problems] == [("base.toml", "quiet_s")]


def test_an_operating_point_of_another_bundle_is_a_problem_of_who_names_it():
    sharp = replace(SEEING, operating_points=(OperatingPoint("sharp", 0.5),))
    without = replace(SEEING_BUNDLE, contract=sharp)

    found = {one for entry in catalogue(PACKAGED, without) for one in entry.problems}

    assert [(one.file.name, one.key) for one in found] == [("generic-head.toml", "operating_point")]


def test_a_file_elsewhere_is_read_as_if_it_lay_in_the_folder(tmp_path):
    (tmp_path / "own.toml").write_text(OWN)

    *_packaged, own = catalogue(PACKAGED, SEEING_BUNDLE, [tmp_path / "own.toml"])

    assert own.profile is not None
    assert own.problems == ()


def test_an_empty_folder_is_an_error(tmp_path):
    with pytest.raises(ConfigError, match="no protocol profile in"):
        catalogue(tmp_path, SEEING_BUNDLE)
