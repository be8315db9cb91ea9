"""Signatures over manifests: what was signed, by whom, and nothing else."""

import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from hypothesis import given
from hypothesis import strategies as st

from agent.config import PACKAGED_ENGINES, InferConfig
from agent.errors import BundleError, ConfigError, PlanError, SignatureError
from agent.infer.bundle import load_bundle
from agent.infer.signature import load_public_key
from build_engine.compile.plans import write_plan
from build_engine.compile.signing import check, load_private_key, sign
from tests.build_engine.compile.made import ENGINES, KEY, OTHERS_KEY, manifest

SHIPPED = PACKAGED_ENGINES / InferConfig().bundle


def private_pem(key) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def public_pem(key) -> bytes:
    return key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )


@pytest.fixture
def bundle(tmp_path) -> Path:
    return shutil.copytree(SHIPPED, tmp_path / "bundle", ignore=shutil.ignore_patterns("card"))


def test_a_bundle_signed_with_a_key_from_a_file_is_accepted_with_its_public_half(tmp_path, bundle):
    (tmp_path / "private.pem").write_bytes(private_pem(KEY))
    (tmp_path / "public.pem").write_bytes(public_pem(KEY))

    signature = sign(bundle, load_private_key(tmp_path / "private.pem"))

    assert signature.name == "bundle.toml.sig"
    assert len(signature.read_bytes()) == 64
    load_bundle(bundle, load_public_key(tmp_path / "public.pem"))


@pytest.mark.slow
@given(where=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
@pytest.mark.parametrize("name", ["plan.json", "plan.json.sig", "slice.plan", "volume.plan"])
def test_a_flipped_bit_in_any_file_of_a_signed_plan_is_refused(tmp_path_factory, name, where, bit):
    folder = write_plan(tmp_path_factory.mktemp("plans"), manifest(), ENGINES)
    sign(folder, KEY)
    content = bytearray((folder / name).read_bytes())
    content[int(where * len(content))] ^= 1 << bit
    (folder / name).write_bytes(content)

    with pytest.raises((PlanError, SignatureError)):
        check(folder, KEY.public_key())


def test_an_unsigned_bundle_is_refused_where_a_key_is_configured(bundle):
    with pytest.raises(SignatureError, match=r"bundle\.toml is not signed"):
        load_bundle(bundle, KEY.public_key())


def test_a_bundle_signed_by_another_is_refused(bundle):
    sign(bundle, OTHERS_KEY)

    with pytest.raises(SignatureError, match="another key"):
        load_bundle(bundle, KEY.public_key())


def test_what_does_not_fit_its_manifest_is_not_signed(bundle):
    (bundle / "slice.onnx").write_bytes(b"another network")

    with pytest.raises(BundleError, match="not the file that the manifest names"):
        sign(bundle, KEY)

    assert not (bundle / "bundle.toml.sig").exists()


def test_a_folder_that_is_neither_bundle_nor_plan_is_named(tmp_path):
    with pytest.raises(PlanError, match="neither a bundle nor a plan"):
        sign(tmp_path, KEY)


def test_a_file_that_is_no_such_key_is_named(tmp_path):
    (tmp_path / "text.pem").write_text("hello")
    (tmp_path / "elliptic.pem").write_bytes(private_pem(generate_private_key(SECP256R1())))
    (tmp_path / "elliptic_public.pem").write_bytes(public_pem(generate_private_key(SECP256R1())))

    for read, name, says in (
        (load_private_key, "text.pem", "no private key"),
        (load_public_key, "text.pem", "no public key"),
        (load_private_key, "elliptic.pem", "another kind of key"),
        (load_public_key, "elliptic_public.pem", "another kind of key"),
        (load_private_key, "none.pem", "No such file"),
        (load_public_key, "none.pem", "No such file"),
    ):
        with pytest.raises(ConfigError, match=says):
            read(tmp_path / name)


def test_two_that_sign_at_once_leave_one_whole_signature(tmp_path):
    """Both wrote to one file beside it: one found it gone, or half a signature was put in place."""
    folder = write_plan(tmp_path / "plans", manifest(), ENGINES)
    both = Barrier(2)

    def signing(key) -> bytes:
        for _ in range(25):
            both.wait()
            sign(folder, key)
        return key.public_key()

    with ThreadPoolExecutor(2) as threads:
        keys = list(threads.map(signing, (KEY, OTHERS_KEY)))

    accepted = []
    for key in keys:
        try:
            accepted.append(check(folder, key))
        except SignatureError:
            continue
    assert len(accepted) == 1
    assert {path.name for path in folder.iterdir()} == {*ENGINES, "plan.json", "plan.json.sig"}
