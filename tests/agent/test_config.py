"""agent.config: where each value comes from, and what was meant by a name that is not known."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from agent.config import Config, InferConfig, Setting, load_config, load_settings
from agent.errors import ConfigError


def written(folder: Path, text: str) -> Path:
    path = folder / "agent.toml"
    path.write_text('export_folder = "/srv/ct"\n' + text)
    return path


def setting(path: Path, name: str) -> Setting:
    (found,) = (one for one in load_settings(path) if one.name == name)
    return found


def test_a_value_comes_from_the_default_the_file_or_the_environment_which_wins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(tmp_path, "[console]\nport = 9000\n[watch]\nrescan_s = 5\n")
    monkeypatch.setenv("BLEEDWATCH_CONSOLE__PORT", "9001")

    assert setting(path, "console.port") == Setting(
        "console.port", 9001, 8742, "BLEEDWATCH_CONSOLE__PORT"
    )
    assert setting(path, "watch.rescan_s") == Setting("watch.rescan_s", 5.0, 2.0, str(path))
    assert setting(path, "infer.threads") == Setting("infer.threads", 3, 3, "default")
    assert setting(path, "export_folder") == Setting("export_folder", "/srv/ct", None, str(path))


def test_the_settings_are_the_configuration(tmp_path: Path) -> None:
    path = written(tmp_path, "")
    values = load_config(path).model_dump(mode="json")

    for one in load_settings(path):
        table, _, key = one.name.rpartition(".")
        assert one.value == (values[table] if table else values)[key]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("export_foldr = 1\n", "export_foldr: no such setting; did you mean export_folder?"),
        ("[console]\nhots = 1\n", "console.hots: no such setting; did you mean console.host?"),
        ("[consol]\nport = 1\n", "consol: no such setting; did you mean console?"),
        ("threads = 2\n", "threads: no such setting; did you mean infer.threads?"),
        ("zebra = 1\n", "zebra: no such setting"),
        ("[console]\nport = 99999\n", "console.port: Input should be less than"),
        ('[inlet]\nsenders = ["CT1"]\n', "inlet.senders.0: Value error, '' is no AE title"),
        ('[inlet]\nsenders = ["CT1@ct1.hospital"]\n', "inlet.senders.0: Value error, 'ct1.hosp"),
        ('[inlet]\nsenders = ["CT1@10.0.0.1/8"]\n', "inlet.senders.0: Value error, 10.0.0.1/8 has"),
        ('[inlet]\nae_title = "SEVENTEEN LETTERS"\n', "inlet.ae_title: Value error, 'SEVENTEEN"),
    ],
)
def test_a_key_that_cannot_be_used_is_told_with_what_was_meant(
    tmp_path: Path, text: str, told: str
) -> None:
    path = written(tmp_path, text)

    with pytest.raises(ConfigError) as refused:
        load_config(path)

    assert str(refused.value).startswith(f"{path}: {told}")


def test_all_that_is_wrong_is_told_at_once(tmp_path: Path) -> None:
    path = written(tmp_path, "[console]\nhots = 1\n[infer]\nthreads = 0\n")

    with pytest.raises(ConfigError, match=r"infer\.threads: .*; console\.hots: no such setting"):
        load_config(path)


@pytest.mark.parametrize(
    ("variable", "meant"),
    [
        ("BLEEDWATCH_EXPORT_FOLDR", "BLEEDWATCH_EXPORT_FOLDER"),
        ("BLEEDWATCH_CONSOLE__PROT", "BLEEDWATCH_CONSOLE__PORT"),
        ("bleedwatch_console_port", "BLEEDWATCH_CONSOLE__PORT"),
    ],
)
def test_a_misspelt_variable_is_refused_and_not_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str, meant: str
) -> None:
    path = written(tmp_path, "")
    monkeypatch.setenv(variable, "1")

    with pytest.raises(ConfigError, match=f"did you mean {meant}?"):
        load_config(path)


def test_a_whole_table_may_come_from_one_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(tmp_path, "")
    monkeypatch.setenv("BLEEDWATCH_CONSOLE", '{"port": 9001}')

    assert setting(path, "console.port").value == 9001
    assert setting(path, "console.host").origin == "default"


@pytest.mark.parametrize(
    "gpu", ["first", "none", "GPU-8c7e1b52-0b1f-4a77-9d2e-3a1b5c6d7e8f", "MIG-GPU-8c7e/1/0"]
)
def test_a_gpu_is_named_by_its_uuid(gpu: str) -> None:
    assert InferConfig(gpu=gpu).gpu == gpu


@pytest.mark.parametrize("gpu", ["0", "cuda:0", "GPU-1,GPU-2", ""])
def test_what_names_no_gpu_is_refused(gpu: str) -> None:
    with pytest.raises(ValidationError, match="nvidia-smi -L"):
        InferConfig(gpu=gpu)


def test_plans_outlive_the_environment_that_the_program_is_installed_in(tmp_path: Path) -> None:
    config = Config(export_folder=tmp_path / "in", state_folder=tmp_path / "state")

    assert config.plans_folder.is_relative_to(config.state_folder)
    assert not config.plans_folder.is_relative_to(config.engines_folder)


@pytest.mark.parametrize(
    "server",
    ["10.0.0.7:8001", "grpc://10.0.0.7:8001", "grpcs://10.0.0.7", "grpcs://h:0", "https://h:1"],
)
def test_a_server_that_is_no_address_or_would_be_sent_plain_text_is_refused(server: str) -> None:
    with pytest.raises(ValidationError, match=r"no address such as|for this computer alone"):
        InferConfig(server=server)


def test_a_server_elsewhere_needs_certificates_one_here_does_not() -> None:
    with pytest.raises(ValidationError, match="needs server_ca"):
        InferConfig(server="grpcs://ct-gpu:8001", server_ca=Path("ca.pem"))

    here = InferConfig(server="grpc://[::1]:8001").server_settings
    assert (here.host, here.target, here.encrypted) == ("::1", "[::1]:8001", False)
