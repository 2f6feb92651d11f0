import json
import platform
import shutil
import subprocess
import sys

import pytest

from xaibench import __version__, environment
from xaibench.environment import checkout, digest, record


def git(folder, *arguments):
    identity = ["-c", "user.name=T", "-c", "user.email=t@example.org"]
    done = subprocess.run(["git", *identity, *arguments], cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.fixture
def repository(tmp_path):
    """A plugin's source folder, committed, in a subfolder of its repository."""
    source = tmp_path / "repository" / "plugin"
    source.mkdir(parents=True)
    (source / "pyproject.toml").write_text("[project]\n")
    git(source.parent, "init", "--quiet")
    git(source, "add", ".")
    git(source, "commit", "--quiet", "-m", "first")
    return source


def editable(site, name, source):
    (next(site.glob(f"{name}*.dist-info")) / "direct_url.json").write_text(
        json.dumps({"url": source.as_uri(), "dir_info": {"editable": True}})
    )


def test_the_record_is_json_and_the_same_twice():
    first = record()
    assert json.loads(json.dumps(first, allow_nan=False)) == first
    assert record() == first
    assert first["xaibench"] == __version__
    assert first["python"] == platform.python_version()
    assert first["libraries"]["torch"]
    assert first["machine"]["cores"] >= first["machine"]["usable_cores"] >= 1
    assert first["machine"]["memory_gib"] > 0.1
    assert first["machine"]["processor"]


def test_strangers_are_recorded_with_their_version(installed):
    installed("good")
    expected = {"version": "1.2", "editable": False, "commit": None, "dirty": None}
    assert record()["distributions"]["corner-explainer"] == expected


def test_an_editable_distribution_is_recorded_with_the_commit_of_its_own_source(installed, repository, monkeypatch):
    editable(installed("good"), "corner_explainer", repository)
    elsewhere = repository.parent.parent / "elsewhere"
    elsewhere.mkdir()
    git(elsewhere, "init", "--quiet")
    git(elsewhere, "commit", "--quiet", "--allow-empty", "-m", "another")
    monkeypatch.chdir(elsewhere)
    monkeypatch.setenv("GIT_DIR", str(elsewhere / ".git"))
    found = record()["distributions"]["corner-explainer"]
    monkeypatch.delenv("GIT_DIR")
    assert found == {"version": "1.2", "editable": True, "commit": git(repository, "rev-parse", "HEAD"), "dirty": False}
    assert found["commit"] != git(elsewhere, "rev-parse", "HEAD")


def test_edited_and_new_files_make_a_checkout_dirty_but_only_those_of_its_folder(repository):
    commit = git(repository, "rev-parse", "HEAD")
    (repository.parent / "beside.py").write_text("1\n")
    assert checkout(repository) == {"commit": commit, "dirty": False}
    (repository / "new.py").write_text("1\n")
    assert checkout(repository) == {"commit": commit, "dirty": True}


def test_a_folder_that_merely_lies_in_a_repository_has_no_commit(repository):
    untracked = repository.parent / "untracked"
    untracked.mkdir()
    (untracked / "pyproject.toml").write_text("[project]\n")
    assert checkout(untracked) == {"commit": None, "dirty": None}


def test_a_checkout_without_git_or_folder_has_no_commit(repository, monkeypatch):
    assert checkout(repository / "gone") == {"commit": None, "dirty": None}
    monkeypatch.setenv("PATH", "")
    assert shutil.which("git") is None
    assert checkout(repository) == {"commit": None, "dirty": None}


def test_a_distribution_from_a_repository_is_recorded_with_its_commit(installed):
    (info,) = installed("good").glob("*.dist-info")
    noted = {"url": "https://example.org/x", "vcs_info": {"vcs": "git", "commit_id": "c0ffee"}}
    (info / "direct_url.json").write_text(json.dumps(noted))
    expected = {"version": "1.2", "editable": False, "commit": "c0ffee", "dirty": False}
    assert record()["distributions"]["corner-explainer"] == expected


def test_settings_that_change_numbers_are_recorded_and_change_the_digest(monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    before = record()
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    after = record()
    assert "OMP_NUM_THREADS" not in before["settings"]
    assert after["settings"]["OMP_NUM_THREADS"] == "3"
    assert digest(before) == digest(json.loads(json.dumps(before)))
    assert digest(before) != digest(after)


def test_torch_is_asked_only_once_somebody_has_imported_it(monkeypatch):
    import torch

    assert environment.torch_state()["threads"] == torch.get_num_threads()
    monkeypatch.delitem(sys.modules, "torch")
    assert environment.torch_state() is None


def test_the_record_holds_no_path_and_no_name_of_host_or_user(installed, repository):
    editable(installed("good"), "corner_explainer", repository)
    text = json.dumps(record())
    assert str(repository) not in text
    assert platform.node() not in text
