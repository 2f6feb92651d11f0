import copy
import json
from dataclasses import replace

import jsonschema
import pytest

from xaibench_leaderboard.claims import Claims, claims_of, schema
from xaibench_leaderboard.strata import ANSWERS, SIZES


@pytest.fixture
def claims(results, tmp_path):
    return json.loads(Claims().render(results, tmp_path).read_text(encoding="utf-8"))


def refused(claims):
    return [error.json_path for error in jsonschema.Draft202012Validator(schema()).iter_errors(claims)]


def test_the_schema_is_a_schema():
    jsonschema.Draft202012Validator.check_schema(schema())


def test_claims_follow_the_schema(claims):
    assert refused(claims) == []


def test_claims_with_a_ranking_over_all_follow_the_schema(campaign):
    made = campaign().reference("random", "floor").reference("roi", "ceiling")
    made.metric("iou", needs=frozenset({"mask"})).prediction((1, 0) * 20, (1, 1) * 20, model="m")
    for model in "mn":
        for name, value in {"a": 0.9, "b": 0.5, "c": 0.3, "random": 0.1, "roi": 1.0}.items():
            made.add(name, "iou", value, model=model)
    made.scores = [replace(one, shares=(0.1, 0.2) * 20) for one in made.scores]
    claims = json.loads(json.dumps(claims_of(made.results())))
    assert {one["stratum"] for one in claims["strata"]} == {*SIZES, *ANSWERS}
    assert refused(claims) == []
    assert [one["explainer"] for one in claims["overall"]["standings"]] == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("spoil", "where"),
    [
        (lambda claims: claims["rows"][0].pop("mean"), "$.rows[0]"),
        (lambda claims: claims["rows"][0].update(mean="0.4"), "$.rows[0].mean"),
        (lambda claims: claims["rows"][0].update(mean=None, reason=""), "$.rows[0].reason"),
        (lambda claims: claims["rows"][0].update(rank=1), "$.rows[0]"),
        (lambda claims: claims.update(schema=1), "$.schema"),
        (lambda claims: claims["rankings"][0]["standings"][0].update(place=0), "$.rankings[0].standings[0].place"),
    ],
)
def test_the_schema_refuses_what_is_no_claim(claims, spoil, where):
    spoiled = copy.deepcopy(claims)
    spoil(spoiled)
    assert where in refused(spoiled)
