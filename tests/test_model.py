"""Model files: what is saved is what is loaded, and what does not fit is refused by name."""

import json
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from tests.tiny import tiny_model
from worldmodel.dynamics.sampler import SamplerConfig
from worldmodel.model import WorldModel, load_tokenizer
from worldmodel.nn.component import content_hash


def test_a_saved_model_comes_back_with_the_same_hashes(tmp_path: Path) -> None:
    model = tiny_model()
    model.sampler = SamplerConfig(8, 0.7, 0.8, True)
    again = WorldModel.from_pretrained(model.save(tmp_path / "m"))
    assert again.hashes() == model.hashes()
    assert again.dynamics.config == model.dynamics.config
    assert again.tokenizer.config == model.tokenizer.config
    assert again.dt_s == model.dt_s
    assert again.sampler == model.sampler == SamplerConfig(8, 0.7, 0.8, True)
    # fp16 on disk: saving again changes nothing any more.
    third = WorldModel.from_pretrained(again.save(tmp_path / "n"))
    for a, b in zip(again.state_dict().values(), third.state_dict().values()):
        assert torch.equal(a, b)


def test_a_tokenizer_that_does_not_match_is_refused(tmp_path: Path) -> None:
    tiny_model(0).save(tmp_path / "a")
    tiny_model(1).save(tmp_path / "b")
    (tmp_path / "a" / "tokenizer.safetensors").write_bytes((tmp_path / "b" / "tokenizer.safetensors").read_bytes())
    with pytest.raises(ValueError, match="dynamics needs tokenizer"):
        WorldModel.from_pretrained(tmp_path / "a")


def test_the_hash_is_of_the_content(tmp_path: Path) -> None:
    model = tiny_model()
    before = content_hash(model.tokenizer)
    with torch.no_grad():
        model.tokenizer.mask_token += 1
    assert content_hash(model.tokenizer) != before


def test_damaged_foreign_and_newer_files_get_a_clear_error(tmp_path: Path) -> None:
    tiny_model().save(tmp_path)
    path = tmp_path / "tokenizer.safetensors"
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=r"tokenizer\.safetensors: not a complete safetensors file"):
        load_tokenizer(tmp_path)
    path.write_bytes(whole)
    tensors = load_file(path)
    save_file(tensors, path)
    with pytest.raises(ValueError, match="not a component of a world model"):
        load_tokenizer(tmp_path)
    save_file(tensors, path, metadata={"format_version": "99", "content_hash": "", "about": json.dumps({})})
    with pytest.raises(ValueError, match="format version 99"):
        load_tokenizer(tmp_path)
    path.unlink()
    with pytest.raises(ValueError, match="no such file"):
        load_tokenizer(tmp_path)


def test_an_unknown_name_lists_what_is_bundled(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no bundled model of that name"):
        WorldModel.from_pretrained("no_such_model")


def test_every_file_says_its_version_hash_and_configuration(tmp_path: Path) -> None:
    model = tiny_model()
    model.save(tmp_path)
    for name, digest in model.hashes().items():
        with safe_open(tmp_path / f"{name}.safetensors", framework="pt") as file:
            metadata = file.metadata()
        assert metadata["format_version"] == "1"
        assert metadata["content_hash"] == digest
        assert "config" in json.loads(metadata["about"])
    assert {p.suffix for p in tmp_path.iterdir()} == {".safetensors"}
