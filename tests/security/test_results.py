"""The results of others are data: they are read, shown, merged, packed and verified, and do nothing of their own."""

import io
import json

import numpy as np
import pytest
from security_tools import RUN, call, edited

from xaibench.errors import DataError, XaibenchError
from xaibench.files import digest, from_json, read_json
from xaibench.results import load_results
from xaibench.store import Store

VIEWS = ("leaderboard --results {}", "evaluate --results {}", "compare {} {}", "verify {} --all", "results validate {}")


def records(folder, name):
    return sorted(file for file in folder.glob("cells/*/*/*/record.json") if name in json.loads(file.read_text()))


def safe(result):
    """It ended as commands end: done, or with a message; never with a traceback."""
    assert result.exception is None or isinstance(result.exception, (SystemExit, XaibenchError)), result.exc_info


def test_maps_that_hold_objects_are_not_unpickled(foreign, attack, sign):
    buffer = io.BytesIO()
    np.save(buffer, np.array([attack], dtype=object), allow_pickle=True)
    content = buffer.getvalue()
    for file in records(foreign, "maps"):
        (file.parent / "maps.npy").write_bytes(content)
        edited(file, lambda record: record["maps"].update(digest=digest(content), bytes=len(content)))
    for view in VIEWS:
        safe(call(*view.format(foreign, foreign).split()))
    assert not sign.exists()


def test_maps_of_absurd_size_are_called_damaged(foreign):
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f4", "fortran_order": False, "shape": (2**45,)})
    content = header.getvalue()
    for file in records(foreign, "maps"):
        (file.parent / "maps.npy").write_bytes(content)
        edited(file, lambda record: record["maps"].update(digest=digest(content), bytes=len(content)))
    told = [call(*view.format(foreign, foreign).split()) for view in VIEWS]
    for result in told:
        safe(result)
    assert "damaged" in "".join(result.output.lower() for result in told)


@pytest.mark.parametrize("name", ["../../../../../precious", "/{}/precious"])
def test_a_record_that_names_a_file_elsewhere_neither_reads_nor_removes_it(foreign, tmp_path, name):
    precious = tmp_path / "precious"
    content = io.BytesIO()
    np.save(content, np.zeros((2, 128, 128), np.float32))
    precious.write_bytes(content.getvalue())
    for file in records(foreign, "maps"):
        told = {
            "file": name.format(tmp_path),
            "digest": digest(precious.read_bytes()),
            "bytes": precious.stat().st_size,
        }
        edited(file, lambda record, told=told: record["maps"].update(told))
    safe(call(*RUN, "--out", foreign, "--maps", "none"))
    assert precious.exists()
    for key in [path.name for path in foreign.glob("cells/*/*")]:
        for shard in Store(foreign).shards(key, 2) or []:
            assert not shard.has_maps or "precious" not in str(shard.record["maps"].get("file"))


@pytest.mark.parametrize("key", ["../../outside", "/etc", "ab/../../../outside", "..", ""])
def test_keys_that_lead_out_of_the_folder_are_refused(foreign, tmp_path, key):
    outside = tmp_path / "outside" / "000000-000002"
    outside.mkdir(parents=True)
    secret = {"ids": ["secret"], "patients": ["p"], "truth": [0], "logits": [[1.0]], "maps": None}
    (outside / "record.json").write_text(json.dumps(secret))
    (outside.parent / "cell.json").write_text(json.dumps({"cards": {"model": {}}, "labels": {}, "identity": {}}))

    def redirect(run):
        for row in (*run["subjects"], *run["cells"]):
            row["key"] = key

    edited(next(foreign.glob("runs/*.json")), redirect)
    try:
        found = load_results(foreign)
    except XaibenchError:
        return
    assert "secret" not in str(found)


@pytest.mark.parametrize("verb", ["merge {} --out {}", "submit {} --out {}.zip"])
@pytest.mark.parametrize("place", ["cell", "shard", "runs"])
def test_links_in_a_folder_are_not_followed_out_of_it(foreign, tmp_path, verb, place):
    secret = tmp_path / "secret.json"
    secret.write_text('{"password": "swordfish"}')
    shard = records(foreign, "ids")[0].parent
    link = {"cell": shard.parent / "cell.json", "shard": shard / "record.json", "runs": foreign / "runs" / "x.json"}[
        place
    ]
    link.unlink(missing_ok=True)
    link.symlink_to(secret)
    out = tmp_path / "made"
    done = call(*verb.format(foreign, out).split())
    safe(done)
    assert isinstance(done.exception, DataError)
    assert "is a link" in str(done.exception)
    made = [file for file in tmp_path.glob("made*/**/*") if file.is_file()]
    assert not [file for file in made if b"swordfish" in file.read_bytes()]


NAMED = {
    "explainers": "os:system(command='touch {sign}')",
    "metrics": "{file}:Evil",
    "models": "{file}:Evil",
    "tasks": "external(train='{file}:Evil', test='phantom-tiny')",
    "engine": "os:system(command='touch {sign}')",
}


@pytest.mark.parametrize("group", NAMED)
@pytest.mark.parametrize("verb", ["verify {} --all", "leaderboard --results {}"])
def test_code_that_results_name_is_not_run(foreign, tmp_path, sign, group, verb):
    file = tmp_path / "evil.py"
    file.write_text(f"import pathlib\npathlib.Path({str(sign)!r}).touch()\nclass Evil:\n    pass\n")
    text = NAMED[group].format(sign=sign, file=file)

    def name_code(run):
        run["request"][group] = text
        if group in run["chosen"]:
            run["chosen"][group] = [text]

    edited(next(foreign.glob("runs/*.json")), name_code)
    done = call(*verb.format(foreign).split())
    safe(done)
    assert not sign.exists()


def test_a_task_inside_a_task_is_not_run_for_a_picture(foreign, tmp_path, sign):
    file = tmp_path / "evil.py"
    file.write_text(f"import pathlib\npathlib.Path({str(sign)!r}).touch()\nclass Evil:\n    pass\n")

    def name_code(about):
        about["identity"]["task"] |= {"name": "external", "params": {"train": f"{file}:Evil", "test": "phantom-tiny"}}

    for about in foreign.glob("cells/*/*/cell.json"):
        edited(about, name_code)
    safe(call("leaderboard", "--results", foreign))
    assert (foreign / "leaderboard.html").exists()
    assert not sign.exists()


def test_json_that_is_nested_without_end_is_torn_json(tmp_path):
    file = tmp_path / "deep.json"
    file.write_text("[" * 10**6)
    assert read_json(file) is None
    assert from_json(file.read_bytes()) is None


def test_the_code_of_a_folder_can_be_trusted_by_saying_so(foreign, tmp_path, sign):
    file = tmp_path / "own.py"
    file.write_text(f"import pathlib\npathlib.Path({str(sign)!r}).touch()\nclass Own:\n    pass\n")
    edited(next(foreign.glob("runs/*.json")), lambda run: run["chosen"].update(explainers=[f"{file}:Own"]))
    safe(call("verify", foreign, "--all", "--trust"))
    assert sign.exists()
